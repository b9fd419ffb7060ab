/**
 * All that is known of one pair of sources, and what follows when more comes: matches made and taken back, breaks opened, changed and
 * closed, statements proven, commands of people carried out. Pure; a delta says everything that changed, so a shell can write it
 * down together with the positions that it read up to. The state can be built again from what was written down.
 */
import { createHash } from 'node:crypto'
import {
  type BreakEvent,
  type BreakState,
  decideBreak,
  evolveBreak,
  type Observation,
  observeBreak,
  type Resolution,
} from '#domain/breaks/break-life.ts'
import { classify } from '#domain/breaks/classify.ts'
import { Relations } from '#domain/breaks/relations.ts'
import type { MatchItem } from '#domain/matching/item.ts'
import { type Match, Matcher } from '#domain/matching/matcher.ts'
import type { PairSettings } from '#domain/matching/pair.ts'
import {
  type ProvenStatement,
  proveStatements,
  type StatementFinding,
} from '#domain/statements/continuity.ts'
import type { CommandRefusal, PairCommand } from './commands.ts'

/** A statement of an account of the pair. */
export interface PairStatement extends ProvenStatement {
  readonly account: string
  readonly currency: string | null
}

export interface PairInput {
  readonly items: readonly MatchItem[]
  readonly statements: readonly PairStatement[]
  readonly commands: readonly PairCommand[]
  /** The last tick, ms since 1970. */
  readonly nowMs: number
}

export interface StoredMatch {
  /** 32 hexadecimal digits, made of the pass and the items. */
  readonly id: string
  readonly pass: string
  readonly score: number
  readonly ledger: readonly string[]
  readonly bank: readonly string[]
  readonly differenceMinor: bigint
  readonly because: string
}

export interface PairDelta {
  readonly items: readonly MatchItem[]
  /** Ids that came again and said something else: the first one stays. */
  readonly conflicts: readonly string[]
  readonly statements: readonly PairStatement[]
  readonly matched: readonly StoredMatch[]
  readonly unmatched: readonly StoredMatch[]
  readonly breaks: readonly { readonly id: string; readonly event: BreakEvent }[]
  readonly commands: readonly { readonly id: string; readonly refusal: CommandRefusal | null }[]
}

/** What was written down of a pair. */
export interface StoredPair {
  readonly items: Iterable<MatchItem>
  readonly statements: Iterable<PairStatement>
  /** In the order of their versions. */
  readonly events: Iterable<{ readonly id: string; readonly event: BreakEvent }>
  /** Ids of commands that were carried out or refused. */
  readonly commands: Iterable<string>
}

const DAY_MS = 86_400_000

const idOf = (pass: string, ledger: readonly string[], bank: readonly string[]): string =>
  createHash('sha256')
    .update(JSON.stringify([pass, ledger, bank]))
    .digest('hex')
    .slice(0, 32)

export function storedMatch({ pass, score, ledger, bank, differenceMinor, because }: Match): StoredMatch {
  const ledgerIds = ledger.map(({ id }) => id)
  const bankIds = bank.map(({ id }) => id)
  const id = idOf(pass, ledgerIds, bankIds)
  return { id, pass, score, ledger: ledgerIds, bank: bankIds, differenceMinor, because }
}

export class PairState {
  readonly #settings: PairSettings
  readonly #matcher: Matcher
  readonly #relations = new Relations()
  readonly #statements = new Map<string, Map<string, PairStatement>>()
  readonly #breaks = new Map<string, BreakState>()
  readonly #commands = new Set<string>()
  /** Items that a person's match took, by the break through which it was made. */
  readonly #taken = new Map<string, readonly string[]>()
  #today = 0
  /** What was written down may have been by other settings: the next time everything is looked at. */
  #isRestored = false
  #events: { id: string; event: BreakEvent }[] = []
  /** Items whose breaks have to be looked at again. */
  #touched = new Set<string>()

  constructor(settings: PairSettings) {
    this.#settings = settings
    this.#matcher = new Matcher(settings.passes)
  }

  /**
   * Builds the state again.
   * @returns every match that follows from what is stored: whoever stored matches compares
   */
  restore(stored: StoredPair): StoredMatch[] {
    for (const item of stored.items) {
      this.#matcher.add(item)
      this.#relations.add(item)
    }
    for (const statement of stored.statements) this.#keep(statement)
    for (const { id, event } of stored.events) {
      const state = evolveBreak(this.#breaks.get(id) ?? null, event)
      this.#breaks.set(id, state)
      if (event.type === 'closed' && event.ending.by === 'resolution') this.#take(id, event.ending.resolution)
      if (event.type === 'reopened') this.#giveBack(id)
    }
    for (const id of stored.commands) this.#commands.add(id)
    this.#matcher.settle()
    this.#isRestored = true
    return this.matches()
  }

  matches(): StoredMatch[] {
    return [...this.#matcher.matches()].map(storedMatch)
  }

  /** An item by its id; null for others. */
  item(id: string): MatchItem | null {
    return this.#matcher.find(id)?.item ?? null
  }

  get openCount(): number {
    return this.#matcher.openCount
  }

  breaks(): ReadonlyMap<string, BreakState> {
    return this.#breaks
  }

  /** Takes in what came. */
  apply({ items, statements, commands, nowMs }: PairInput): PairDelta {
    this.#events = []
    this.#touched = new Set()
    const added = this.#addItems(items)
    const fresh = statements.filter((statement) => this.#keep(statement))
    const outcomes = this.#carryOut(commands, nowMs)
    const { matched, unmatched } = this.#matcher.settle()
    for (const match of [...matched, ...unmatched]) {
      for (const { id } of [...match.ledger, ...match.bank]) this.#touch(id)
    }
    const today = Math.floor(nowMs / DAY_MS)
    // A new day makes breaks of what was only late.
    if (today !== this.#today) for (const { id } of this.#matcher.open()) this.#touched.add(id)
    this.#today = today
    if (this.#isRestored) for (const id of this.#breaks.keys()) this.#touched.add(id)
    this.#isRestored = false
    for (const id of [...this.#touched].sort()) this.#observe(id, nowMs)
    for (const account of new Set(fresh.map(accountOf))) this.#prove(account, nowMs)
    return {
      items: added.items,
      conflicts: added.conflicts,
      statements: fresh,
      matched: matched.map(storedMatch),
      unmatched: unmatched.map(storedMatch),
      breaks: this.#events,
      commands: outcomes,
    }
  }

  #addItems(items: readonly MatchItem[]): { items: MatchItem[]; conflicts: string[] } {
    const fresh: MatchItem[] = []
    const conflicts: string[] = []
    for (const item of items) {
      const added = this.#matcher.add(item)
      if (added === 'conflict') conflicts.push(item.id)
      if (added !== 'new') continue
      fresh.push(item)
      this.#relations.add(item)
      this.#touch(item.id)
    }
    return { items: fresh, conflicts }
  }

  /** An item and all that share a reference with it: what becomes of one says what the others are. */
  #touch(id: string): void {
    const found = this.#matcher.find(id)
    if (found === null) return
    this.#touched.add(id)
    for (const other of this.#relations.of(found.item)) this.#touched.add(other.id)
  }

  /** @returns whether it is a new one */
  #keep(statement: PairStatement): boolean {
    const account = accountOf(statement)
    const known = this.#statements.get(account) ?? new Map<string, PairStatement>()
    this.#statements.set(account, known)
    if (known.has(statement.key)) return false
    known.set(statement.key, statement)
    return true
  }

  #record(id: string, events: readonly BreakEvent[]): void {
    for (const event of events) {
      this.#breaks.set(id, evolveBreak(this.#breaks.get(id) ?? null, event))
      this.#events.push({ id, event })
    }
  }

  #observe(id: string, nowMs: number): void {
    const found = this.#matcher.find(id)
    if (found === null) return
    const state = this.#breaks.get(id) ?? null
    if (found.isTaken) {
      const ending = { by: 'cleared', why: 'resolved through another break' } as const
      this.#record(id, observeBreak(state, { ending }, nowMs))
      return
    }
    this.#record(id, observeBreak(state, this.#observationOf(found.item, found.match), nowMs))
  }

  #observationOf(item: MatchItem, match: Match | null): Observation {
    if (match !== null) return { ending: { by: 'match', match: storedMatch(match).id } }
    const related = this.#relations.of(item).map((other) => {
      const found = this.#matcher.find(other.id)!
      return { item: other, isOpen: found.match === null && !found.isTaken }
    })
    return classify(item, related, this.#today, this.#settings.breaks)
  }

  /** Breaks of the statements of an account: those found are observed, those found no more are cleared. */
  #prove(account: string, nowMs: number): void {
    const statements = this.#statements.get(account)!
    const found = new Map(
      proveStatements([...statements.values()]).map((finding) => [findingId(finding), finding]),
    )
    for (const [id, { kind, statement }] of found) {
      const observation: Observation = { kind, related: [statement] }
      this.#record(id, observeBreak(this.#breaks.get(id) ?? null, observation, nowMs))
    }
    for (const [id, state] of this.#breaks) {
      if (state.kind !== 'statement_gap' || found.has(id) || !statements.has(state.related[0] ?? '')) continue
      const ending = { by: 'cleared', why: 'the missing statement came' } as const
      this.#record(id, observeBreak(state, { ending }, nowMs))
    }
  }

  #carryOut(commands: readonly PairCommand[], nowMs: number): PairDelta['commands'] {
    const outcomes: PairDelta['commands'][number][] = []
    for (const command of commands) {
      if (this.#commands.has(command.id)) continue
      this.#commands.add(command.id)
      outcomes.push({ id: command.id, refusal: this.#command(command, nowMs) })
    }
    return outcomes
  }

  #command({ subject, command }: PairCommand, nowMs: number): CommandRefusal | null {
    if (command === null) return 'command_invalid'
    const decision = decideBreak(this.#breaks.get(subject) ?? null, command, nowMs)
    if ('refusal' in decision) return decision.refusal
    for (const event of decision.events) {
      if (event.type === 'closed' && event.ending.by === 'resolution') {
        if (!this.#take(subject, event.ending.resolution)) return 'items_taken'
      }
      if (event.type === 'reopened') this.#giveBack(subject)
    }
    this.#record(subject, decision.events)
    return null
  }

  /** Takes what a resolution is about out of matching; breaks of statements are about no item. @returns whether all were free */
  #take(id: string, resolution: Resolution): boolean {
    const ids =
      resolution.kind === 'match'
        ? [...resolution.ledger, ...resolution.bank]
        : this.#matcher.find(id) === null
          ? []
          : [id]
    const isFree = (one: string) => this.#matcher.find(one)?.isTaken === false
    if (new Set(ids).size !== ids.length || !ids.every(isFree)) return false
    for (const one of ids) this.#touch(one)
    this.#matcher.take(ids)
    this.#taken.set(id, ids)
    return true
  }

  #giveBack(id: string): void {
    const ids = this.#taken.get(id)
    if (ids === undefined) return
    this.#taken.delete(id)
    this.#matcher.giveBack(ids)
    for (const one of ids) this.#touch(one)
  }
}

const accountOf = ({ account, currency }: PairStatement): string => `${account}\u0001${currency ?? ''}`

function findingId(finding: StatementFinding): string {
  return finding.kind === 'statement_gap'
    ? `gap:${finding.before}:${finding.statement}`
    : `arithmetic:${finding.statement}:${finding.of}`
}
