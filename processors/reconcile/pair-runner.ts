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
import type { PairCommit, RefusedRecord } from '#platform/postgres/reconciliation/commit.ts'
import type { LoadedPair, PairRow } from '#platform/postgres/reconciliation/store.ts'
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
  /** What is being read while the portion before is committed. */
  ahead: Promise<Inputs> | null
  /** The portion before, while it is being committed: whether it was written. */
  committing: Promise<boolean> | null
}

/** What came on both sides and from people. */
interface Inputs {
  readonly head: { readonly sequence: bigint; readonly tickMs: number }
  /** The last batch of the ledger that it has. */
  readonly upTo: bigint
  readonly statements: InputPortion<StatementValue>
  readonly commands: InputPortion<CommandValue>
  readonly postings: readonly LedgerPosting[]
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
   * Takes in portions of what came, as long as there are some and it may go on. While one is committed the next one is read and decided
   * on what is in memory; it is written only after that one was.
   * @returns whether there may be more
   * @throws IncidentError, OperatingError: from some portion on nothing was written then
   */
  async work(row: PairRow, mayGoOn: () => Promise<boolean>): Promise<boolean> {
    if (this.#loaded?.version !== row.version) this.#loaded = await this.#load(row)
    const loaded = this.#loaded
    try {
      await this.#sendWriteOffs(loaded)
      let isMore: boolean
      do isMore = await this.#take(loaded)
      while (isMore && (await mayGoOn()))
      if (!(await isCommitted(loaded))) return this.#lost()
      this.#showFigures(loaded, !isMore)
      return isMore
    } catch (error) {
      this.#lost()
      throw error
    }
  }

  /** Somebody else was first, or it isn't known what is stored: the state is built again. @returns true: there may be more */
  #lost(): true {
    this.#loaded = null
    return true
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
      ahead: null,
      committing: null,
    }
  }

  /** Those that nobody has sent since loading: one that was sent before is a duplicate to the ledger. */
  async #sendWriteOffs({ row, state, sent }: Loaded): Promise<void> {
    const fresh = state.writeOffs().filter(({ writeOff }) => !sent.has(writeOff.transactionId))
    if (fresh.length === 0) return
    await this.#options.writeOffs.send(row.pair, fresh)
    for (const { writeOff } of fresh) sent.add(writeOff.transactionId)
  }

  async #read({ ledgerSequence, batches, accounts, statements, commands }: Loaded): Promise<Inputs> {
    const { store, readPostings, readStatements, readCommands } = this.#options
    const readLedger = async () => {
      const head = await store.head()
      const upTo = smaller(head.sequence, ledgerSequence + batches)
      const range = { after: ledgerSequence, upTo }
      return { head, upTo, postings: upTo > ledgerSequence ? await readPostings(range, [...accounts]) : [] }
    }
    const [ledger, lines, orders] = await Promise.all([
      readLedger(),
      readStatements(statements, RECORDS_MAX),
      readCommands(commands, RECORDS_MAX),
    ])
    return { ...ledger, statements: lines, commands: orders }
  }

  /** @returns whether there may be more */
  async #take(loaded: Loaded): Promise<boolean> {
    const { pair } = loaded.row
    const reading = loaded.ahead ?? this.#read(loaded)
    loaded.ahead = null
    const inputs = await reading
    const { head, upTo, statements, commands, postings } = inputs
    loaded.batches = nextBatches(loaded.batches, postings.length)
    const positions = [statements.position, commands.position].filter((position) => position !== null)
    const day = Math.floor(head.tickMs / DAY_MS)
    const isIdle = positions.length === 0 && upTo <= loaded.ledgerSequence && day === loaded.day
    if (isIdle && loaded.owed === null && !loaded.state.isDeferring) return false
    loaded.behind = upTo < head.sequence || statements.records.length >= RECORDS_MAX ? loaded.behind + 1 : 0
    const delta = await this.#decide(loaded, inputs)
    loaded.day = day
    loaded.ledgerSequence = upTo
    // Every tick is a batch of the ledger: those without anything for us are passed over without a commit.
    if (positions.length === 0 && isEmpty(delta.delta)) return upTo < head.sequence
    loaded.statements = statements.position?.next ?? loaded.statements
    loaded.commands = commands.position?.next ?? loaded.commands
    loaded.owed = null
    await this.#commit(loaded, { pair, recordedMs: head.tickMs, positions, ...delta })
    return this.#loaded !== null
  }

  /** What follows from a portion. */
  async #decide(
    loaded: Loaded,
    { head, upTo, statements, commands, postings }: Inputs,
  ): Promise<Pick<PairCommit, 'delta' | 'refused' | 'breaks'>> {
    const { state, accounts, owed } = loaded
    const portion = this.#portionOf(loaded, statements, commands)
    for (const posting of postings) portion.items.push(...itemsOfPosting(posting, accounts))
    const pending = state.writeOffs()
    if (pending.length > 0) {
      portion.postings.push(...(await this.#options.writeOffs.outcomes(pending, upTo, accounts)))
    }
    const isBehind = loaded.behind > 0 && loaded.behind < BEHIND_MAX
    const delta = withOwed(state.apply({ ...portion, isBehind, nowMs: head.tickMs }), owed)
    return { delta, refused: portion.refused, breaks: breaksOf(state, delta) }
  }

  /** Begins to write a portion, once the one before was written, and to read the next one. */
  async #commit(loaded: Loaded, portion: Omit<PairCommit, 'version' | 'ledgerSequence'>): Promise<void> {
    if (!(await isCommitted(loaded))) {
      this.#lost()
      return
    }
    const { version, ledgerSequence } = loaded
    loaded.version += 1n
    loaded.committing = this.#options.store
      .commit({ ...portion, version, ledgerSequence })
      .then((isWritten) => {
        if (isWritten) this.#options.onCommit(portion.pair, portion.delta)
        return isWritten
      })
    if (loaded.behind > 0) loaded.ahead = this.#read(loaded)
    // Whoever awaits them hears of failures; nobody may ever do.
    loaded.committing.catch(() => undefined)
    loaded.ahead?.catch(() => undefined)
    this.#showFigures(loaded, false)
    const { state, sent } = loaded
    if (state.writeOffs().every(({ writeOff }) => sent.has(writeOff.transactionId))) return
    // Only what is committed may leave.
    if (await isCommitted(loaded)) await this.#sendWriteOffs(loaded)
    else this.#lost()
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

/** Whether the portion before was written; true where none is on its way. @throws as ReconciliationStore.commit */
async function isCommitted(loaded: Loaded): Promise<boolean> {
  const { committing } = loaded
  loaded.committing = null
  return (await committing) ?? true
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
