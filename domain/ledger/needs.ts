/** What a batch of inputs will touch, so that the shell can load it in a fixed number of round trips. */
import { type PartyName, partyKey } from '../fraud/parties.ts'
import { FULL_WATCH, type Watch } from '../fraud/rulebook/watch.ts'
import { transactionKey } from '../transactions/canonical.ts'
import { needsOfCommand } from './commands.ts'
import { deadLetterName } from './dead-letters.ts'
import type { TransactionCommand } from '../transactions/command.ts'
import type { InputPosition, LedgerInput } from './inputs.ts'

export interface BatchNeeds {
  /** Account ids named by the inputs themselves (holds and parents add theirs once they are loaded). */
  readonly accountIds: Set<string>
  readonly cards: Set<string>
  /** Keys of the transactions' own ids. */
  readonly idKeys: string[]
  /** Keys that captures, voids, reverses and reviews refer to. */
  readonly parentKeys: Set<string>
  /** Keys of payments that labels are about. */
  readonly labelKeys: Set<string>
  readonly commandIds: Set<string>
  /** Dead letters that commands are about, by name. */
  readonly deadLetters: Map<string, InputPosition>
  /**
   * Cards, terminals, merchants and devices by their keys, as far as the rulebook in force looks at them; all of them where a
   * record of the batch may bring another one into force.
   */
  parties(watch: Watch): ReadonlyMap<string, PartyName>
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
  const labelKeys = new Set<string>()
  const commandIds = new Set<string>()
  const deadLetters = new Map<string, InputPosition>()
  let latestTick: number | null = null
  let mayChangeRules = false
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
      case 'label':
        labelKeys.add(input.key)
        break
      case 'rule':
        mayChangeRules = true
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
  const parties = (watch: Watch) => partiesOf(inputs, mayChangeRules ? FULL_WATCH : watch)
  return { accountIds, cards, idKeys, parentKeys, labelKeys, commandIds, deadLetters, parties, latestTick }
}

const NO_PARTIES: ReadonlyMap<string, PartyName> = new Map()

const partiesOf = (inputs: readonly LedgerInput[], watch: Watch): ReadonlyMap<string, PartyName> => {
  if (!watch.cards && !watch.terminals && !watch.devices) return NO_PARTIES
  const parties = new Map<string, PartyName>()
  for (const input of inputs) {
    if (input.type !== 'transaction') continue
    for (const party of partyNamesOf(input.command, watch))
      parties.set(partyKey(party.kind, party.name), party)
  }
  return parties
}

/** The parties of a payment that are looked at. */
export const partyNamesOf = (
  { card, terminal, merchant, device }: Pick<TransactionCommand, 'card' | 'terminal' | 'merchant' | 'device'>,
  watch: Watch,
): PartyName[] => {
  const parties: PartyName[] = []
  if (watch.cards && card !== null) parties.push({ kind: 'card', name: card })
  if (watch.terminals && terminal !== null) parties.push({ kind: 'terminal', name: terminal })
  else if (watch.terminals && merchant !== null) parties.push({ kind: 'merchant', name: merchant })
  if (watch.devices && device !== null) parties.push({ kind: 'device', name: device })
  return parties
}
