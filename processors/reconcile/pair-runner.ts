/**
 * Works on one pair of sources: reads what came on both sides and from people, decides what follows, and writes it together with the
 * positions. The state in memory is what Postgres has: after any doubt it is thrown away and built again.
 */
import type { MatchItem } from '#domain/matching/item.ts'
import type { PairSettings } from '#domain/matching/pair.ts'
import {
  type PairDelta,
  type PairFigures,
  PairState,
  type PairStatement,
  type PostingOutcome,
} from '#domain/reconciliation/pair-state.ts'
import { type PairCommand, parseBreakCommand } from '#domain/reconciliation/commands.ts'
import { isDispute } from '#domain/reconciliation/hands.ts'
import type { StoredMatch } from '#domain/reconciliation/stored-match.ts'
import type { StatementValue } from '#domain/statements/record.ts'
import type { LedgerPosting } from '#platform/postgres/reconciliation/ledger-postings.ts'
import type {
  LoadedPair,
  PairCommit,
  PairRow,
  RefusedRecord,
} from '#platform/postgres/reconciliation/store.ts'
import type { InputPortion } from './input-topic.ts'
import { itemsOfPosting } from './ledger-items.ts'
import { takeRecord } from './statement-records.ts'
import type { WriteOffs } from './write-offs.ts'

/** schemas/avro/reconciliation-command.avsc */
export interface CommandValue {
  readonly id: string
  readonly pair: string
  readonly kind: string
  readonly subject: string
  readonly body: string
  readonly actor: string
  readonly occurredAt: bigint
}

export interface PairRunnerOptions {
  readonly store: {
    load(pair: string): Promise<LoadedPair>
    position(reader: string, topic: string, partition: number): Promise<bigint | null>
    head(): Promise<{ sequence: bigint; tickMs: number }>
    commit(commit: PairCommit): Promise<boolean>
  }
  readonly readPostings: (
    range: { readonly after: bigint; readonly upTo: bigint },
    accounts: readonly string[],
  ) => Promise<LedgerPosting[]>
  readonly readStatements: (from: bigint | null, recordsMax: number) => Promise<InputPortion<StatementValue>>
  readonly writeOffs: Pick<WriteOffs, 'send' | 'outcomes'>
  readonly readCommands: (from: bigint | null, recordsMax: number) => Promise<InputPortion<CommandValue>>
  /** Checks the JSON of a pair's settings. */
  readonly parseSettings: (text: string) => PairSettings
  readonly topics: { readonly statements: string; readonly commands: string }
  readonly onCommit: (pair: string, delta: PairDelta) => void
  /** How the pair stands, from time to time. */
  readonly onFigures: (pair: string, figures: PairFigures) => void
  readonly warn: (fields: object, message: string) => void
}

/** Records and batches that one portion takes in at most: a commit takes well under a second. */
const RECORDS_MAX = 5_000
/** Of the ledger: as many batches as bring about as many entries, so that neither side runs ahead and opens breaks for nothing. */
const BATCHES = { first: 20n, max: 2_000n }
/** So many portions may be behind in a row before breaks are opened nevertheless: whoever never catches up must say what is open. */
const BEHIND_MAX = 1_000
const DAY_MS = 86_400_000
/** Figures look at all that is open. */
const FIGURES_EVERY_MS = 5_000

interface Loaded {
  readonly row: PairRow
  readonly settings: PairSettings
  readonly state: PairState
  readonly accounts: ReadonlySet<string>
  version: bigint
  ledgerSequence: bigint
  /** Portions in a row behind which there was more. */
  behind: number
  /** Batches of the next portion. */
  batches: bigint
  statements: bigint | null
  commands: bigint | null
  day: number
  /** Transactions of write-offs that were handed to Kafka since loading. */
  readonly sent: Set<string>
  /** Matches that follow from what is stored but aren't, and the other way round: after a change of settings. */
  owed: { matched: readonly StoredMatch[]; unmatched: readonly StoredMatch[] } | null
}

interface Portion {
  readonly items: MatchItem[]
  readonly statements: PairStatement[]
  readonly commands: PairCommand[]
  readonly postings: PostingOutcome[]
  readonly refused: RefusedRecord[]
}

export class PairRunner {
  readonly #options: PairRunnerOptions
  #loaded: Loaded | null = null
  #shown = { version: -1n, atMs: -FIGURES_EVERY_MS }

  constructor(options: PairRunnerOptions) {
    this.#options = options
  }

  /**
   * Takes in a portion of what came.
   * @returns whether there may be more
   * @throws IncidentError, OperatingError: nothing was written then
   */
  async step(row: PairRow): Promise<boolean> {
    if (this.#loaded?.version !== row.version) this.#loaded = await this.#load(row)
    const loaded = this.#loaded
    try {
      await this.#sendWriteOffs(loaded)
      const isWritten = await this.#take(loaded)
      if (isWritten === true) await this.#sendWriteOffs(loaded)
      this.#showFigures(loaded, isWritten === null)
      if (isWritten === null) return false
      if (!isWritten) this.#loaded = null
      return true
    } catch (error) {
      this.#loaded = null
      throw error
    }
  }

  /** Never much later than what changed, and not for each of many portions. */
  #showFigures({ row, state, version }: Loaded, isIdle: boolean): void {
    const shown = this.#shown
    const isNew = shown.version !== version
    if (!isNew || (!isIdle && performance.now() - shown.atMs < FIGURES_EVERY_MS)) return
    this.#shown = { version, atMs: performance.now() }
    this.#options.onFigures(row.pair, state.figures())
  }

  async #load(row: PairRow): Promise<Loaded> {
    const { store, topics, parseSettings, warn } = this.#options
    const settings = parseSettings(row.settings)
    const stored = await store.load(row.pair)
    const state = new PairState(settings)
    const matches = new Map(state.restore(stored).map((match) => [match.id, match]))
    const matched = [...matches.values()].filter(({ id }) => !stored.standing.has(id))
    const unmatched = [...stored.standing.values()].filter(({ id }) => !matches.has(id))
    const isOwed = matched.length + unmatched.length > 0
    if (isOwed) {
      const counts = { matched: matched.length, unmatched: unmatched.length }
      warn(
        { pair: row.pair, ...counts },
        'the stored matches are not those that follow from the items: settings changed?',
      )
    }
    return {
      row,
      settings,
      state,
      accounts: new Set(settings.accounts.values()),
      version: row.version,
      ledgerSequence: row.ledgerSequence,
      behind: 0,
      batches: BATCHES.first,
      statements: await store.position(row.pair, topics.statements, 0),
      commands: await store.position(row.pair, topics.commands, 0),
      day: -1,
      sent: new Set(),
      owed: isOwed ? { matched, unmatched } : null,
    }
  }

  /** Those that nobody has sent since loading: one that was sent before is a duplicate to the ledger. */
  async #sendWriteOffs({ row, state, sent }: Loaded): Promise<void> {
    const fresh = state.writeOffs().filter(({ writeOff }) => !sent.has(writeOff.transactionId))
    if (fresh.length === 0) return
    await this.#options.writeOffs.send(row.pair, fresh)
    for (const { writeOff } of fresh) sent.add(writeOff.transactionId)
  }

  /** @returns whether it was written; null = nothing came */
  async #take(loaded: Loaded): Promise<boolean | null> {
    const { store, readPostings, readStatements, readCommands } = this.#options
    const { pair } = loaded.row
    const head = await store.head()
    const farthest = loaded.ledgerSequence + loaded.batches
    const upTo = smaller(head.sequence, farthest)
    const statements = await readStatements(loaded.statements, RECORDS_MAX)
    const commands = await readCommands(loaded.commands, RECORDS_MAX)
    const postings =
      upTo > loaded.ledgerSequence
        ? await readPostings({ after: loaded.ledgerSequence, upTo }, [...loaded.accounts])
        : []
    loaded.batches = nextBatches(loaded.batches, postings.length)
    const positions = [statements.position, commands.position].filter((position) => position !== null)
    const day = Math.floor(head.tickMs / DAY_MS)
    const isIdle = positions.length === 0 && upTo <= loaded.ledgerSequence && day === loaded.day
    if (isIdle && loaded.owed === null && !loaded.state.isDeferring) return null
    loaded.behind = upTo < head.sequence || statements.records.length >= RECORDS_MAX ? loaded.behind + 1 : 0
    const isBehind = loaded.behind > 0 && loaded.behind < BEHIND_MAX
    const portion = this.#portionOf(loaded, statements, commands)
    for (const posting of postings) portion.items.push(...itemsOfPosting(posting, loaded.accounts))
    const pending = loaded.state.writeOffs()
    if (pending.length > 0) {
      portion.postings.push(...(await this.#options.writeOffs.outcomes(pending, upTo, loaded.accounts)))
    }
    const delta = withOwed(loaded.state.apply({ ...portion, isBehind, nowMs: head.tickMs }), loaded.owed)
    if (positions.length === 0 && isEmpty(delta)) {
      // Every tick is a batch of the ledger: those without anything for us are passed over without a commit.
      loaded.ledgerSequence = upTo
      loaded.day = day
      return upTo < head.sequence ? true : null
    }
    const isWritten = await store.commit({
      pair,
      version: loaded.version,
      ledgerSequence: upTo,
      recordedMs: head.tickMs,
      positions,
      refused: portion.refused,
      delta,
      breaks: breaksOf(loaded.state, delta),
    })
    if (!isWritten) return false
    loaded.version += 1n
    loaded.ledgerSequence = upTo
    loaded.statements = statements.position?.next ?? loaded.statements
    loaded.commands = commands.position?.next ?? loaded.commands
    loaded.day = day
    loaded.owed = null
    this.#options.onCommit(pair, delta)
    return true
  }

  #portionOf(
    { row, settings }: Loaded,
    statements: InputPortion<StatementValue>,
    commands: InputPortion<CommandValue>,
  ): Portion {
    const portion: Portion = { items: [], statements: [], commands: [], postings: [], refused: [] }
    for (const { value, topic, partition, offset } of statements.records) {
      const taken =
        'unreadable' in value
          ? { items: [], statement: null, refusal: value.unreadable }
          : takeRecord({ value, topic, partition, offset }, settings)
      portion.items.push(...taken.items)
      if (taken.statement !== null) portion.statements.push(taken.statement)
      if (taken.refusal !== null) portion.refused.push({ topic, partition, offset, reason: taken.refusal })
    }
    for (const { value, topic, partition, offset } of commands.records) {
      if ('unreadable' in value || value.pair !== row.pair || value.kind === 'set_pair') continue
      if (!isCommandId(value.id)) {
        portion.refused.push({ topic, partition, offset, reason: 'command_id_invalid' })
        continue
      }
      const { id, pair, subject } = value
      const command = parseBreakCommand(value.kind, value.body, value.actor)
      portion.commands.push({ id, pair, subject, command })
    }
    return portion
  }
}

/** Fewer where they brought too many entries, more where they brought few: most batches have none of the pair's accounts. */
function nextBatches(batches: bigint, postings: number): bigint {
  if (postings > RECORDS_MAX) return batches > 1n ? batches / 2n : 1n
  return postings > RECORDS_MAX / 2 ? batches : smaller(batches * 2n, BATCHES.max)
}

/** Math.min knows no bigint. */
function smaller(left: bigint, right: bigint): bigint {
  if (left < right) return left
  return right
}

/** An id that can be stored and found again. */
export const isCommandId = (id: string): boolean => /^[\x21-\x7e]{1,128}$/.test(id)

const isEmpty = (delta: PairDelta): boolean =>
  Object.values(delta).every((part: readonly unknown[]) => part.length === 0)

/** A delta with the differences to what is stored. */
function withOwed(delta: PairDelta, owed: Loaded['owed']): PairDelta {
  if (owed === null) return delta
  // What is owed may be taken back at once by what came with this portion.
  const ended = new Set(delta.unmatched.map(({ id }) => id))
  const owedIds = new Set(owed.matched.map(({ id }) => id))
  return {
    ...delta,
    matched: [...owed.matched.filter(({ id }) => !ended.has(id)), ...delta.matched],
    unmatched: [...owed.unmatched, ...delta.unmatched.filter(({ id }) => !owedIds.has(id))],
  }
}

function breaksOf(state: PairState, { breaks }: PairDelta): PairCommit['breaks'] {
  return [...new Set(breaks.map(({ id }) => id))].map((id) => {
    const now = state.breaks().get(id)!
    // A disputed match is listed by the first of its items.
    return { id, state: now, item: state.item(isDispute(id) ? now.related[0]! : id) }
  })
}
