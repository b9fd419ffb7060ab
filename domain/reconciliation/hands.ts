/**
 * What people's hands do to matching: items they take out of it (matched, written off, ignored), matches they dispute. Events say it;
 * here they are carried out, the same way when they happen and when the state is built again from them.
 */
import type { BreakEvent, BreakState, Resolution, WriteOff } from '#domain/breaks/break-life.ts'
import type { Matcher } from '#domain/matching/matcher.ts'
import type { CommandRefusal, PairCommand } from './commands.ts'
import { storedMatch } from './stored-match.ts'
import { writeOffOf } from './write-off.ts'

const PREFIX = 'match:'

/** The break about a match that somebody says is wrong. @param matchId as in `StoredMatch` */
export const disputeId = (matchId: string): string => `${PREFIX}${matchId}`

/** Whether a break is about a match. */
export const isDispute = (breakId: string): boolean => breakId.startsWith(PREFIX)

export class Hands {
  readonly #matcher: Matcher
  readonly #accounts: ReadonlySet<string>
  readonly #touch: (id: string) => void
  /** Items that people took out of matching, by the break through which they did. */
  readonly #taken = new Map<string, readonly string[]>()
  /** Breaks whose write-off is under way, by its transaction. */
  readonly #posting = new Map<string, string>()

  /** @param accounts of the ledger, of the pair @param touch is told of items whose breaks have to be looked at again */
  constructor(matcher: Matcher, accounts: ReadonlySet<string>, touch: (id: string) => void) {
    this.#matcher = matcher
    this.#accounts = accounts
    this.#touch = touch
  }

  /** Breaks whose write-off is under way. */
  posting(): string[] {
    return [...this.#posting.values()]
  }

  /** The break that is written off by a transaction. */
  breakOf(transactionId: string): string | undefined {
    return this.#posting.get(transactionId)
  }

  /** How a dispute about a match begins; null where that match doesn't stand. */
  dispute(id: string, before: BreakState | null, resolution: Resolution, atMs: number): BreakEvent[] | null {
    if (resolution.kind !== 'unmatch') return null
    const [first] = resolution.ledger
    const match = first === undefined ? null : (this.#matcher.find(first)?.match ?? null)
    const stored = match === null ? null : storedMatch(match)
    const isSame = (left: readonly string[], right: readonly string[]) => left.join('\n') === right.join('\n')
    if (stored === null || disputeId(stored.id) !== id) return null
    if (!isSame(stored.ledger, resolution.ledger) || !isSame(stored.bank, resolution.bank)) return null
    const about = { kind: 'disputed' as const, related: [...stored.ledger, ...stored.bank], atMs }
    if (before === null) return [{ type: 'opened', ...about }]
    return before.status === 'closed' ? [{ type: 'reopened', ...about }] : []
  }

  /** The transaction that an approval leads to; null where it leads to none. */
  writeOffOf(asked: PairCommand, state: BreakState | null, nowMs: number): WriteOff | CommandRefusal | null {
    if (state?.status !== 'proposed' || state.proposal?.maker === asked.command?.actor) return null
    const resolution = state.proposal?.resolution
    if (resolution?.kind !== 'write_off') return null
    const ids = [...resolution.ledger, ...resolution.bank]
    if (!this.areFree(ids)) return 'items_taken'
    const written = writeOffOf({
      pair: asked.pair,
      commandId: asked.id,
      nowMs,
      resolution,
      items: ids.map((id) => this.#matcher.find(id)!.item),
      accounts: this.#accounts,
    })
    return 'refusal' in written ? written.refusal : written
  }

  /** Items that events of a break take out of matching; null where they take none. */
  takes(id: string, state: BreakState | null, events: readonly BreakEvent[]): readonly string[] | null {
    for (const event of events) {
      if (event.type === 'posting') return itemsOf(state!.proposal!.resolution)
      if (event.type !== 'closed' || event.ending.by !== 'resolution') continue
      const { resolution } = event.ending
      if (resolution.kind === 'match') return itemsOf(resolution)
      // Breaks of statements are about no item.
      if (resolution.kind === 'ignore') return this.#matcher.find(id) === null ? [] : [id]
    }
    return null
  }

  /** Whether all are there, each once, and no person has taken one. */
  areFree(ids: readonly string[]): boolean {
    const isFree = (id: string) => this.#matcher.find(id)?.isTaken === false
    return new Set(ids).size === ids.length && ids.every(isFree)
  }

  /** What an event means for matching. @param before The break before it */
  carry(id: string, before: BreakState | null, event: BreakEvent): void {
    const taken = this.takes(id, before, [event])
    if (taken !== null) this.#take(id, taken)
    if (event.type === 'posting') this.#posting.set(event.writeOff.transactionId, id)
    if (event.type === 'posting_failed' || event.type === 'closed') {
      const transactionId = before?.posting?.writeOff.transactionId
      if (transactionId !== undefined) this.#posting.delete(transactionId)
    }
    if (event.type === 'posting_failed' || event.type === 'reopened') this.#giveBack(id)
    if (event.type === 'closed' && event.ending.by === 'resolution') {
      const { resolution, entries } = event.ending
      if (entries !== undefined) this.#take(id, entries)
      if (resolution.kind === 'unmatch') this.#part(resolution, 'block')
    }
    const undone = event.type === 'reopened' && before?.ending?.by === 'resolution' ? before.ending : null
    if (undone?.resolution.kind === 'unmatch') this.#part(undone.resolution, 'unblock')
  }

  #part({ ledger, bank }: Extract<Resolution, { kind: 'unmatch' }>, how: 'block' | 'unblock'): void {
    this.#matcher[how](ledger, bank)
    for (const id of [...ledger, ...bank]) this.#touch(id)
  }

  #take(id: string, ids: readonly string[]): void {
    for (const one of ids) this.#touch(one)
    this.#matcher.take(ids)
    this.#taken.set(id, [...(this.#taken.get(id) ?? []), ...ids])
  }

  #giveBack(id: string): void {
    const ids = this.#taken.get(id)
    if (ids === undefined) return
    this.#taken.delete(id)
    this.#matcher.giveBack(ids)
    for (const one of ids) this.#touch(one)
  }
}

const itemsOf = (resolution: Resolution): readonly string[] =>
  resolution.kind === 'ignore' ? [] : [...resolution.ledger, ...resolution.bank]
