/** One batch through the head: lock, load, decide, encode, commit. What the holder of the head does, and nothing else. */
import { zstdCompressSync } from 'node:zlib'
import { BATCH_FORMAT, batchHash, FrameWriter } from '#domain/ledger/batch-record.ts'
import { decideBatch } from '#domain/ledger/decide.ts'
import { NO_HORIZONS } from '#domain/ledger/horizons.ts'
import { collectNeeds } from '#domain/ledger/needs.ts'
import { type BatchEffects, type LedgerState, LOGIC_VERSION } from '#domain/ledger/state.ts'
import { IncidentError, OperatingError } from '#platform/errors.ts'
import { cachedState } from '#platform/postgres/ledger-store/cached-state.ts'
import type {
  EncodedBatch,
  LedgerCache,
  LedgerStore,
  LockedHead,
  PartitionProgress,
} from '#platform/postgres/ledger-store/store.ts'
import type { Clock } from '#platform/time/clock.ts'
import { headerOf, type PartitionInputs, progressOf } from '../runtime/batch-header.ts'
import { type OutputEncoders, writeOutputs } from '../runtime/outputs.ts'

export interface BatchContext {
  readonly ledger: string
  readonly session: LedgerStore
  readonly clock: Clock
  readonly encoders: OutputEncoders
  /** Registry ids of the encoders' schemas, by place in FRAME_TOPICS. */
  readonly schemas: readonly number[]
  /** Accounts, and as many parties of fraud rules, kept between batches. */
  readonly accountsMax: number
  /** Batches that may wait for the publisher. */
  readonly publishBacklogMax: number
  /** What the publisher has sent at least, as last seen. */
  publishedSequence(): bigint
}

export interface BatchResult {
  readonly sequence: bigint
  /** Inputs decided, by place in the given selection. */
  readonly consumed: number
  readonly effects: BatchEffects
  readonly state: LedgerState
  /** How long each phase took, ms. */
  readonly phases: Readonly<Record<'lock' | 'load' | 'decide' | 'encode' | 'commit', number>>
}

/** A batch that was decided and sent to Postgres. */
export interface SentBatch {
  /** Inputs decided, by place in the given selection. */
  readonly consumed: number
  /** Where the ledger stands after it: 'topic:partition' → next offset. */
  readonly positions: ReadonlyMap<string, bigint>
  /** Settles when Postgres has committed. Rejects like `send`; then nothing is known to have been applied. */
  readonly committed: Promise<BatchResult>
}

/** The ledger as this processor knows it: true for one head only. */
interface Known {
  readonly head: LockedHead
  readonly cache: LedgerCache
}

type Phases = ReturnType<typeof phaseClock>

/** What makes and keeps the serial history of one processor: its cache, its buffers, what it knows of the head. */
export class BatchApplier {
  private readonly context: BatchContext
  private readonly writer = new FrameWriter()
  /** As of the last batch that was sent; null = nothing is believed. */
  private known: Known | null = null
  /** Batches sent and not answered yet. */
  private underWay = 0
  /** Batches for which ids are looked up before they are taken: some were taken already, lately. */
  private checkIdsFor = 0
  /** When the head was last waited for in turn, ms of the clock. */
  private turnStartedMs = 0
  /** Nobody else's batch came between this turn and the one before. */
  private isAlone = false
  /** When Postgres last answered a commit, ms of the clock: what was sent before that waited. */
  private answeredMs = 0
  /** Batches that are not decided ahead: another processor's batch came between, lately. */
  private stayBehindFor = 0

  constructor(context: BatchContext) {
    this.context = context
  }

  /**
   * Applies a selection of inputs as one batch, and tries it again where ids turn out to be taken.
   * @throws OperatingError retriable `publish_backlog`, `compare_and_swap_failed`, `postgres_unreachable`; IncidentError.
   * After any error nothing is known to have been applied: only the offset rows say.
   */
  async apply(selection: readonly PartitionInputs[]): Promise<BatchResult> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const sent = await this.send(selection)
        return await sent.committed
      } catch (error) {
        if (!this.failed(error) || attempt === ATTEMPTS_MAX) throw error
      }
    }
  }

  /**
   * Decides a selection under the head's lock and sends it. Only when nothing is under way.
   * @throws as `apply`
   */
  async send(selection: readonly PartitionInputs[]): Promise<SentBatch> {
    const { session } = this.context
    if (this.underWay > 0) throw new Error('a batch is under way')
    if (this.stayBehindFor > 0) this.stayBehindFor -= 1
    const checkIds = this.checkIdsFor > 0
    const clock = phaseClock(this.context.clock)
    try {
      const head = await session.begin()
      this.turnStartedMs = this.context.clock.monotonicMs()
      this.checkHead(head)
      clock.ends('lock')
      // The cache is the past of one head only: whoever else wrote in between makes it worthless.
      const isKnown = this.known?.head.hash.equals(head.hash) === true
      this.isAlone = isKnown
      const cache: LedgerCache = isKnown ? this.known!.cache : emptyCache()
      const inputs = selection.flatMap((part) => part.inputs)
      const state = await session.load(head, collectNeeds(inputs), cache, { checkIds })
      clock.ends('load')
      const sent = this.decide({ head, cache }, state, selection, clock, session.commit.bind(session))
      if (checkIds) this.checkIdsFor -= 1
      return sent
    } catch (error) {
      this.forget()
      await session.rollback()
      throw error
    }
  }

  /**
   * Decides a selection on what is known in memory, while the batch before it is being committed, and sends it behind that one.
   * @returns null where that can't be: something would have to be read, or a record of it may be there already
   * @throws OperatingError `publish_backlog`
   */
  sendAhead(selection: readonly PartitionInputs[]): SentBatch | null {
    const { known } = this
    if (known === null || this.underWay === 0 || this.checkIdsFor > 0 || this.stayBehindFor > 0) return null
    // A batch ahead overtakes whoever waits for the head.
    const turnMs = this.isAlone ? TURN_MS.alone : TURN_MS.shared
    if (this.context.clock.monotonicMs() - this.turnStartedMs > turnMs) return null
    this.checkHead(known.head)
    // Where one was set otherwise than by reading on, the tables say so and the batch has to tell it.
    if (!selection.every((part) => followsOn(known.head.positions, selection, part))) return null
    const inputs = selection.flatMap((part) => part.inputs)
    const reached = new Map(selection.map((part) => [nameOf(part.claim), part.inputs.at(-1)!.offset + 1n]))
    const clock = phaseClock(this.context.clock)
    const state = cachedState(known.head, collectNeeds(inputs), known.cache, reached)
    if (state === null) return null
    clock.ends('load')
    const { session } = this.context
    try {
      return this.decide(known, state, selection, clock, session.commitAhead.bind(session))
    } catch (error) {
      this.forget()
      throw error
    }
  }

  /**
   * To be told of a batch that failed, once no batch is under way any more.
   * @returns whether its inputs can simply be sent again: nothing of them was applied, and the partitions are still held
   */
  failed(error: unknown): boolean {
    this.forget()
    const isTakenId = isFailedSwap(error, 'transaction ids')
    const isOtherHead = isFailedSwap(error, 'ledger head')
    if (isTakenId) this.checkIdsFor = CHECK_IDS_BATCHES
    if (isOtherHead) this.stayBehindFor = STAY_BEHIND_BATCHES
    return isTakenId || isOtherHead
  }

  /** Drops what was kept of the ledger. */
  forget(): void {
    this.known = null
  }

  private decide(
    { head, cache }: Known,
    state: LedgerState,
    selection: readonly PartitionInputs[],
    clock: Phases,
    commit: LedgerStore['commit'],
  ): SentBatch {
    const inputs = selection.flatMap((part) => part.inputs)
    const effects = decideBatch(state, inputs)
    clock.ends('decide')
    const progress = progressOf(selection, effects.consumed)
    const batch = this.encode(head, state, effects, selection, progress)
    clock.ends('encode')
    const committing = commit(head, state, effects, progress, batch)
    this.underWay += 1
    this.known = { head: headAfter(head, state, batch.hash), cache }
    keep(cache, state, this.context.accountsMax)
    // The next batch has to tell them, and learns of them from the tables.
    if (effects.moves.length > 0) this.forget()
    if (effects.decisions.some((decision) => !decision.claims && decision.cause === 'transaction'))
      this.checkIdsFor = CHECK_IDS_BATCHES
    const { sequence } = state
    const { consumed } = effects
    const committed = committing
      .finally(() => {
        this.underWay -= 1
      })
      .then(() => {
        // Behind another batch Postgres begins with it only when that one is done.
        clock.endsSince('commit', this.answeredMs)
        this.answeredMs = this.context.clock.monotonicMs()
        return { sequence, consumed, effects, state, phases: clock.phases }
      })
    // Whoever sent it awaits it, perhaps after another one: until then a failure isn't unhandled.
    committed.catch(() => undefined)
    return { consumed, positions: state.positions, committed }
  }

  private encode(
    head: LockedHead,
    state: LedgerState,
    effects: BatchEffects,
    selection: readonly PartitionInputs[],
    progress: readonly PartitionProgress[],
  ): EncodedBatch {
    const { session, ledger, schemas, encoders } = this.context
    writeOutputs(this.writer, encoders, state, effects)
    const { clusterId: cluster } = session
    const { logicVersion: logic, jumps = [] } = head
    const parts = { ledger, cluster, logic, schemas, selection, progress, state, effects, jumps }
    const header = Buffer.from(JSON.stringify(headerOf(parts)), 'utf8')
    const payload = this.writer.frames()
    return {
      hash: batchHash(head.hash, header, payload),
      format: BATCH_FORMAT,
      records: effects.consumed,
      header,
      payload: zstdCompressSync(payload),
    }
  }

  private checkHead(head: LockedHead): void {
    if (head.logicVersion !== LOGIC_VERSION) {
      throw new IncidentError(
        'logic_version_unknown',
        `the ledger decides by logic version ${head.logicVersion}, this processor knows ${LOGIC_VERSION}: it must not decide`,
      )
    }
    const waiting = head.sequence - this.context.publishedSequence()
    if (waiting > BigInt(this.context.publishBacklogMax)) {
      throw new OperatingError(
        'publish_backlog',
        `${waiting} batches wait to be published (at most ${this.context.publishBacklogMax})`,
        { retriable: true },
      )
    }
  }
}

const emptyCache = (): LedgerCache => ({
  accounts: new Map(),
  parties: new Map(),
  rules: null,
  horizons: NO_HORIZONS,
  rulesVersion: -1n,
})

/** Keeps the accounts for the next batch: they are the ledger's state as of this one. */
const keep = (cache: LedgerCache, state: LedgerState, accountsMax: number): void => {
  const { accounts, parties } = cache
  for (const [id, account] of state.accounts) {
    account.referenceChanged = false
    account.profileChanged = false
    accounts.set(id, account)
  }
  if (accounts.size > accountsMax) accounts.clear()
  for (const [key, party] of state.parties) parties.set(key, party)
  if (parties.size > accountsMax) parties.clear()
  cache.rules = state.rules
  cache.horizons = state.horizons
  cache.rulesVersion = state.rulesVersion
}

/** The head as the batch leaves it. */
const headAfter = (head: LockedHead, state: LedgerState, hash: Buffer): LockedHead => ({
  ...head,
  sequence: state.sequence,
  hash,
  time: state.time,
  expiring: state.expiring,
  rulesVersion: state.rulesVersion,
  accountsCount: state.accountsCount,
  cardsCount: state.cardsCount,
  positions: state.positions,
  // Told by this batch.
  jumps: [],
})

/** With ids unchecked, with ids checked, and once more for a head that moved. */
const ATTEMPTS_MAX = 3
const CHECK_IDS_BATCHES = 20
/** How long batches may follow each other before another processor's turn comes, ms; `alone`: when nobody had one lately. */
const TURN_MS = { shared: 250, alone: 1_000 }
/** Where processors take turns at the head, deciding ahead is work for nothing. */
const STAY_BEHIND_BATCHES = 50

const nameOf = (claim: { readonly topic: string; readonly partition: number }): string =>
  `${claim.topic}:${claim.partition}`

/** Whether a part begins where the partition stands; later parts of one partition follow the first. */
const followsOn = (
  positions: ReadonlyMap<string, bigint>,
  selection: readonly PartitionInputs[],
  part: PartitionInputs,
): boolean =>
  selection.find(({ claim }) => claim === part.claim) !== part ||
  (positions.get(nameOf(part.claim)) ?? 0n) === part.from

const isFailedSwap = (error: unknown, what: string): boolean =>
  error instanceof OperatingError && error.code === 'compare_and_swap_failed' && error.message.includes(what)

const phaseClock = (clock: Clock) => {
  let started = clock.monotonicMs()
  const phases = { lock: 0, load: 0, decide: 0, encode: 0, commit: 0 }
  return {
    phases,
    ends(phase: keyof typeof phases): void {
      const now = clock.monotonicMs()
      phases[phase] = now - started
      started = now
    },
    /** As `ends`, of a phase that may have begun later than the one before ended. */
    endsSince(phase: keyof typeof phases, beganMs: number): void {
      started = Math.max(started, beganMs)
      this.ends(phase)
    },
  }
}
