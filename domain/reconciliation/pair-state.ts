/**
 * All that is known of one pair of sources, and what follows when more comes: matches made and taken back, breaks opened, changed and
 * closed, statements proven, commands of people carried out. Pure; a delta says everything that changed, so a shell can write it
 * down together with the positions that it read up to. The state can be built again from what was written down.
 */
import {
  type BreakEvent,
  type BreakState,
  decideBreak,
  endPosting,
  escalateBreak,
  evolveBreak,
  type Observation,
  observeBreak,
  type WriteOff,
} from '#domain/breaks/break-life.ts'
import { ageInDays, type BreakKind, classify, type Severity, severityOf } from '#domain/breaks/classify.ts'
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
import { type StoredMatch, storedMatch } from './stored-match.ts'
import { disputeId, Hands, isDispute } from './hands.ts'

/** A statement of an account of the pair. */
export interface PairStatement extends ProvenStatement {
  readonly account: string
  readonly currency: string | null
}

export interface PairInput {
  readonly items: readonly MatchItem[]
  readonly statements: readonly PairStatement[]
  readonly commands: readonly PairCommand[]
  /** What became of the transactions of write-offs: with the items that they made, or why they were refused. */
  readonly postings?: readonly PostingOutcome[]
  /**
   * Whether more is there to be read on either side: then no break opens for an item whose other half may be among it. It opens with the
   * first portion that isn't behind.
   */
  readonly isBehind?: boolean
  /** The last tick, ms since 1970. */
  readonly nowMs: number
}

export interface PostingOutcome {
  readonly transactionId: string
  readonly outcome: { readonly entries: readonly string[] } | { readonly refused: string }
}

/** A write-off that is under way. */
export interface PendingWriteOff {
  readonly breakId: string
  readonly writeOff: WriteOff
  readonly maker: string
  readonly checker: string
  readonly reason: string
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

/** How a pair stands. */
export interface PairFigures {
  readonly items: number
  readonly open: number
  /** Sum of the amounts of open items, without sign, in minor units by currency. */
  readonly openMinor: ReadonlyMap<string, bigint>
  readonly oldestDays: number
  readonly breaks: readonly { readonly kind: BreakKind; readonly severity: Severity; count: number }[]
  /** Items by the pass that matched them. */
  readonly matchedByPass: ReadonlyMap<string, number>
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

export class PairState {
  readonly #settings: PairSettings
  readonly #matcher: Matcher
  readonly #relations = new Relations()
  readonly #statements = new Map<string, Map<string, PairStatement>>()
  readonly #breaks = new Map<string, BreakState>()
  readonly #commands = new Set<string>()
  readonly #hands: Hands
  /** Items that each pass matched. */
  readonly #matchedByPass = new Map<string, number>()
  #today = 0
  /** What was written down may have been by other settings: the next time everything is looked at. */
  #isRestored = false
  #events: { id: string; event: BreakEvent }[] = []
  /** Items without a break that are looked at once nothing is left to be read. */
  readonly #deferred = new Set<string>()
  /** Items whose breaks have to be looked at again. */
  #touched = new Set<string>()

  constructor(settings: PairSettings) {
    this.#settings = settings
    this.#matcher = new Matcher(settings.passes)
    this.#hands = new Hands(this.#matcher, new Set(settings.accounts.values()), (id) => this.#touch(id))
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
      const before = this.#breaks.get(id) ?? null
      this.#breaks.set(id, evolveBreak(before, event))
      this.#hands.carry(id, before, event)
    }
    for (const id of stored.commands) this.#commands.add(id)
    this.#count(this.#matcher.settle().matched, 1)
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

  /** Whether something waits for a portion that isn't behind. */
  get isDeferring(): boolean {
    return this.#deferred.size > 0
  }

  get openCount(): number {
    return this.#matcher.openCount
  }

  breaks(): ReadonlyMap<string, BreakState> {
    return this.#breaks
  }

  /** How the pair stands, for who watches it. Looks at every item that is open. */
  figures(): PairFigures {
    const breaks: PairFigures['breaks'][number][] = []
    const openMinor = new Map<string, bigint>()
    let oldestDays = 0
    for (const { kind, severity, status } of this.#breaks.values()) {
      if (status === 'closed') continue
      const known = breaks.find((one) => one.kind === kind && one.severity === severity)
      if (known === undefined) breaks.push({ kind, severity, count: 1 })
      else known.count += 1
    }
    for (const item of this.#matcher.open()) {
      const { currency, amountMinor } = item
      const size = amountMinor < 0n ? -amountMinor : amountMinor
      openMinor.set(currency, (openMinor.get(currency) ?? 0n) + size)
      oldestDays = Math.max(oldestDays, ageInDays(item, this.#today))
    }
    const { size: items, openCount: open } = this.#matcher
    return { items, open, openMinor, oldestDays, breaks, matchedByPass: this.#matchedByPass }
  }

  #count(matches: readonly Match[], by: 1 | -1): void {
    for (const { pass, ledger, bank } of matches) {
      const before = this.#matchedByPass.get(pass) ?? 0
      this.#matchedByPass.set(pass, before + by * (ledger.length + bank.length))
    }
  }

  /** Write-offs whose transactions are on their way. */
  writeOffs(): PendingWriteOff[] {
    return this.#hands.posting().map((breakId) => {
      const { posting, proposal } = this.#breaks.get(breakId)!
      const { maker, reason } = proposal!
      return { breakId, ...posting!, maker, reason }
    })
  }

  /** Takes in what came. */
  apply({ items, statements, commands, postings = [], isBehind = false, nowMs }: PairInput): PairDelta {
    this.#events = []
    this.#touched = new Set()
    const added = this.#addItems(items)
    const fresh = statements.filter((statement) => this.#keep(statement))
    for (const posting of postings) this.#endPosting(posting, nowMs)
    const outcomes = this.#carryOut(commands, nowMs)
    const { matched, unmatched } = this.#matcher.settle()
    for (const match of [...matched, ...unmatched]) {
      for (const { id } of [...match.ledger, ...match.bank]) this.#touch(id)
    }
    this.#count(matched, 1)
    this.#count(unmatched, -1)
    for (const match of unmatched) this.#endDispute(disputeId(storedMatch(match).id), nowMs)
    const today = Math.floor(nowMs / DAY_MS)
    // A new day makes breaks of what was only late.
    if (today !== this.#today) for (const { id } of this.#matcher.open()) this.#touched.add(id)
    this.#today = today
    if (this.#isRestored) for (const id of this.#breaks.keys()) this.#touched.add(id)
    this.#isRestored = false
    if (!isBehind) {
      for (const id of this.#deferred) this.#touched.add(id)
      this.#deferred.clear()
    }
    const looked = [...this.#touched].filter((id) => this.#isOfInterest(id)).sort()
    for (const id of looked) {
      if (isBehind && !this.#breaks.has(id)) this.#deferred.add(id)
      else this.#observe(id, nowMs)
    }
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
    this.#relations.each(found.item, (other) => this.#touched.add(other.id))
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
      const before = this.#breaks.get(id) ?? null
      this.#breaks.set(id, evolveBreak(before, event))
      this.#events.push({ id, event })
      this.#hands.carry(id, before, event)
    }
  }

  /** By far the most are not: matched at once, and never a break. */
  #isOfInterest(id: string): boolean {
    if (this.#breaks.has(id)) return true
    const found = this.#matcher.find(id)
    return found !== null && found.match === null && !found.isTaken
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
    const ageDays = ageInDays(found.item, this.#today)
    const severity = severityOf(found.item.amountMinor, ageDays, this.#settings.breaks)
    this.#record(id, escalateBreak(this.#breaks.get(id) ?? null, { severity, ageDays }, nowMs))
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

  #command(asked: PairCommand, nowMs: number): CommandRefusal | null {
    const { subject, command } = asked
    if (command === null) return 'command_invalid'
    const isUnmatch = command.type === 'propose' && command.resolution.kind === 'unmatch'
    if (command.type === 'propose' && isUnmatch !== isDispute(subject)) return 'resolution_unfit'
    const before = this.#breaks.get(subject) ?? null
    const opening = isUnmatch ? this.#hands.dispute(subject, before, command.resolution, nowMs) : []
    if (opening === null) return 'match_unknown'
    const state = opening.reduce<BreakState | null>(evolveBreak, before)
    const writeOff = command.type === 'approve' ? this.#hands.writeOffOf(asked, state, nowMs) : null
    if (typeof writeOff === 'string') return writeOff
    const decision = decideBreak(state, command, nowMs, writeOff)
    if ('refusal' in decision) return decision.refusal
    const events = [...opening, ...decision.events]
    if (isDispute(subject) && ['refuse', 'reopen'].includes(command.type)) {
      events.push({ type: 'closed', ending: { by: 'cleared', why: 'the match may stand' }, atMs: nowMs })
    }
    const takes = this.#hands.takes(subject, state, decision.events)
    if (takes !== null && !this.#hands.areFree(takes)) return 'items_taken'
    this.#record(subject, events)
    return null
  }

  /** A match that is no more needs no dispute. */
  #endDispute(id: string, nowMs: number): void {
    const state = this.#breaks.get(id) ?? null
    const ending = { by: 'cleared', why: 'the match was taken back' } as const
    if (state !== null) this.#record(id, observeBreak(state, { ending }, nowMs))
  }

  #endPosting({ transactionId, outcome }: PostingOutcome, nowMs: number): void {
    const id = this.#hands.breakOf(transactionId)
    if (id !== undefined) this.#record(id, [endPosting(this.#breaks.get(id)!, outcome, nowMs)])
  }
}

const accountOf = ({ account, currency }: PairStatement): string => `${account}\u0001${currency ?? ''}`

function findingId(finding: StatementFinding): string {
  return finding.kind === 'statement_gap'
    ? `gap:${finding.before}:${finding.statement}`
    : `arithmetic:${finding.statement}:${finding.of}`
}
