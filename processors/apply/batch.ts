/** One batch through the head: lock, load, decide, encode, commit. What the holder of the head does, and nothing else. */
import { zstdCompressSync } from 'node:zlib'
import { BATCH_FORMAT, batchHash, FrameWriter } from '#domain/ledger/batch-record.ts'
import { decideBatch } from '#domain/ledger/decide.ts'
import { NO_HORIZONS } from '#domain/ledger/horizons.ts'
import { collectNeeds } from '#domain/ledger/needs.ts'
import { type BatchEffects, type LedgerState, LOGIC_VERSION } from '#domain/ledger/state.ts'
import { IncidentError, OperatingError } from '#platform/errors.ts'
import type { LedgerCache, LedgerStore, LockedHead } from '#platform/postgres/ledger-store/store.ts'
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
  /** Accounts kept between batches. */
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

/** What makes and keeps the serial history of one processor: its cache, its buffers, what it knows of the head. */
export class BatchApplier {
  private readonly context: BatchContext
  private readonly writer = new FrameWriter()
  private cache: LedgerCache = emptyCache()
  /** Hash of the head that the cache is as of. */
  private cachedHash: Buffer | null = null
  /** Batches for which ids are looked up before they are taken: some were taken already, lately. */
  private checkIdsFor = 0

  constructor(context: BatchContext) {
    this.context = context
  }

  /**
   * Applies a selection of inputs as one batch.
   * @throws OperatingError retriable `publish_backlog`, `compare_and_swap_failed`, `postgres_unreachable`; IncidentError.
   * After any error nothing is known to have been applied: only the offset rows say.
   */
  async apply(
    selection: readonly PartitionInputs[],
    duringCommit: () => void = () => undefined,
  ): Promise<BatchResult> {
    const checkIds = this.checkIdsFor > 0
    try {
      const result = await this.attempt(selection, checkIds, duringCommit)
      if (checkIds) this.checkIdsFor -= 1
      if (result.effects.decisions.some((d) => !d.claims)) this.checkIdsFor = CHECK_IDS_BATCHES
      return result
    } catch (error) {
      this.forget()
      await this.context.session.rollback()
      if (!checkIds && isTakenId(error)) {
        this.checkIdsFor = CHECK_IDS_BATCHES
        return this.apply(selection, duringCommit)
      }
      throw error
    }
  }

  /** Drops what was kept of the ledger. */
  forget(): void {
    this.cache = emptyCache()
    this.cachedHash = null
  }

  private async attempt(
    selection: readonly PartitionInputs[],
    checkIds: boolean,
    duringCommit: () => void,
  ): Promise<BatchResult> {
    const { session, ledger, schemas } = this.context
    const clock = phaseClock(this.context.clock)
    const head = await session.begin()
    this.checkHead(head)
    clock.ends('lock')
    // The cache is the past of one head only: whoever else wrote in between makes it worthless.
    if (this.cachedHash === null || !this.cachedHash.equals(head.hash)) this.forget()
    const inputs = selection.flatMap((part) => part.inputs)
    const state = await session.load(head, collectNeeds(inputs), this.cache, { checkIds })
    clock.ends('load')
    const effects = decideBatch(state, inputs)
    clock.ends('decide')
    writeOutputs(this.writer, this.context.encoders, state, effects)
    const progress = progressOf(selection, effects.consumed)
    const header = Buffer.from(
      JSON.stringify(
        headerOf({
          ledger,
          cluster: session.clusterId,
          logic: head.logicVersion,
          schemas,
          selection,
          progress,
          state,
          effects,
        }),
      ),
      'utf8',
    )
    const payload = this.writer.frames()
    const hash = batchHash(head.hash, header, payload)
    const batch = {
      hash,
      format: BATCH_FORMAT,
      records: effects.consumed,
      header,
      payload: zstdCompressSync(payload),
    }
    clock.ends('encode')
    const committed = session.commit(head, state, effects, progress, batch)
    duringCommit()
    await committed
    clock.ends('commit')
    this.keep(state, hash)
    return { sequence: state.sequence, consumed: effects.consumed, effects, state, phases: clock.phases }
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

  /** Keeps the accounts for the next batch: they are the ledger's state as of this head. */
  private keep(state: LedgerState, hash: Buffer): void {
    const { accounts } = this.cache
    for (const [id, account] of state.accounts) {
      account.referenceChanged = false
      account.profileChanged = false
      accounts.set(id, account)
    }
    if (accounts.size > this.context.accountsMax) accounts.clear()
    this.cache.rules = state.rules
    this.cache.horizons = state.horizons
    this.cache.rulesVersion = state.rulesVersion
    this.cachedHash = hash
  }
}

const emptyCache = (): LedgerCache => ({
  accounts: new Map(),
  rules: null,
  horizons: NO_HORIZONS,
  rulesVersion: -1n,
})

const CHECK_IDS_BATCHES = 20

const isTakenId = (error: unknown): boolean =>
  error instanceof OperatingError &&
  error.code === 'compare_and_swap_failed' &&
  error.message.includes('transaction ids')

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
  }
}
