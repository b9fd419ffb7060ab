/** What a batch of inputs will touch, so that the shell can load it in a fixed number of round trips. */
import { transactionKey } from '../transactions/canonical.ts'
import { needsOfCommand } from './commands.ts'
import { deadLetterName } from './dead-letters.ts'
import type { InputPosition, LedgerInput } from './inputs.ts'

export interface BatchNeeds {
  /** Account ids named by the inputs themselves (holds and parents add theirs once they are loaded). */
  readonly accountIds: Set<string>
  readonly cards: Set<string>
  /** Keys of the transactions' own ids. */
  readonly idKeys: string[]
  /** Keys that captures, voids, reverses and reviews refer to. */
  readonly parentKeys: Set<string>
  readonly commandIds: Set<string>
  /** Dead letters that commands are about, by name. */
  readonly deadLetters: Map<string, InputPosition>
  /** The latest time that may come to apply in this batch by its own ticks, ms; null = none. */
  readonly latestTick: number | null
}

/** The key of the transaction that a capture, void or reverse refers to. */
export const parentKeyOf = (command: {
  readonly parentId: string | null
  readonly parentSource: string | null
  readonly source: string
}): string | null =>
  command.parentId === null ? null : transactionKey(command.parentSource ?? command.source, command.parentId)

/** Collects what deciding these inputs needs to read. */
export const collectNeeds = (inputs: readonly LedgerInput[]): BatchNeeds => {
  const accountIds = new Set<string>()
  const cards = new Set<string>()
  const idKeys: string[] = []
  const parentKeys = new Set<string>()
  const commandIds = new Set<string>()
  const deadLetters = new Map<string, InputPosition>()
  let latestTick: number | null = null
  for (const input of inputs) {
    switch (input.type) {
      case 'transaction': {
        idKeys.push(input.key)
        for (const posting of input.command.postings) {
          accountIds.add(posting.debit)
          accountIds.add(posting.credit)
        }
        if (input.command.card !== null) cards.add(input.command.card)
        const parent = parentKeyOf(input.command)
        if (parent !== null) parentKeys.add(parent)
        break
      }
      case 'account':
        accountIds.add(input.change.accountId)
        break
      case 'card':
        cards.add(input.change.card)
        if (input.change.accountId !== null) accountIds.add(input.change.accountId)
        break
      case 'review':
        parentKeys.add(input.key)
        break
      case 'command': {
        commandIds.add(input.command.id)
        const { deadLetter } = needsOfCommand(input.command)
        if (deadLetter !== null) deadLetters.set(deadLetterName(deadLetter), deadLetter)
        break
      }
      case 'tick':
        latestTick = Math.max(latestTick ?? 0, input.tick.time)
        break
    }
  }
  return { accountIds, cards, idKeys, parentKeys, commandIds, deadLetters, latestTick }
}
