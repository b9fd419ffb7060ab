/** One batch through the head: lock, load, decide, encode, commit. What the holder of the head does, and nothing else. */
import { zstdCompressSync } from 'node:zlib'
import { BATCH_FORMAT, type BatchHeader, batchHash, FrameWriter } from '#domain/ledger/batch-record.ts'
import { decideBatch } from '#domain/ledger/decide.ts'
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import { collectNeeds } from '#domain/ledger/needs.ts'
import { type BatchEffects, type LedgerState, LOGIC_VERSION } from '#domain/ledger/state.ts'
import { CANONICAL_VERSION } from '#domain/transactions/canonical.ts'
import { IncidentError, OperatingError } from '#platform/errors.ts'
import { type LedgerCache, loadState } from '#platform/postgres/ledger-store/load.ts'
import type { ClaimedPartition, LedgerSession, LockedHead } from '#platform/postgres/ledger-store/session.ts'
import { commitBatch, type PartitionProgress } from '#platform/postgres/ledger-store/write.ts'
import { type OutputEncoders, writeOutputs } from './outputs.ts'

/** Inputs of one partition, in order, as selected for a batch. */
export interface PartitionInputs {
  readonly claim: ClaimedPartition
  /** Where the first of them was read from. */
  readonly from: bigint
  readonly inputs: readonly LedgerInput[]
  /** By place in `inputs`: SHA-256 of the record, and its time; null for skipped stretches. */
  readonly lastRecord: (count: number) => PartitionProgress['last']
}

export interface BatchContext {
  readonly ledger: string
  readonly session: LedgerSession
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
  private cache: LedgerCache = { accounts: new Map(), rules: null, rulesVersion: -1n }
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
    this.cache = { accounts: new Map(), rules: null, rulesVersion: -1n }
    this.cachedHash = null
  }

  private async attempt(
    selection: readonly PartitionInputs[],
    checkIds: boolean,
    duringCommit: () => void,
  ): Promise<BatchResult> {
    const { session } = this.context
    const clock = phaseClock()
    const head = await session.begin()
    this.checkHead(head)
    clock.ends('lock')
    // The cache is the past of one head only: whoever else wrote in between makes it worthless.
    if (this.cachedHash === null || !this.cachedHash.equals(head.hash)) this.forget()
    const inputs = selection.flatMap((part) => part.inputs)
    const state = await loadState(session, head, collectNeeds(inputs), this.cache, { checkIds })
    clock.ends('load')
    const effects = decideBatch(state, inputs)
    clock.ends('decide')
    writeOutputs(this.writer, this.context.encoders, state, effects)
    const progress = progressOf(selection, effects.consumed)
    const header = Buffer.from(
      JSON.stringify(this.headerOf(selection, progress, state, effects, head)),
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
    const committed = commitBatch(session, head, state, effects, progress, batch)
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

  private headerOf(
    selection: readonly PartitionInputs[],
    progress: readonly PartitionProgress[],
    state: LedgerState,
    effects: BatchEffects,
    head: LockedHead,
  ): BatchHeader {
    const outcomes: Record<string, number> = {}
    for (const { status } of effects.decisions) outcomes[status] = (outcomes[status] ?? 0) + 1
    const places = new Map(progress.map((p, place) => [p.claim, place]))
    const order: [number, number][] = []
    const skips: [number, string][] = []
    let left = effects.consumed
    for (const part of selection) {
      const count = Math.min(left, part.inputs.length)
      if (count === 0) break
      left -= count
      const place = places.get(part.claim)!
      order.push([place, count])
      for (let at = 0; at < count; at += 1) {
        const input = part.inputs[at]!
        if (input.type === 'advance') skips.push([place, String(input.offset)])
      }
    }
    return {
      format: BATCH_FORMAT,
      ledger: this.context.ledger,
      cluster: this.context.session.clusterId,
      sequence: String(state.sequence),
      tick: state.time.nowMs,
      logic: head.logicVersion,
      rules: String(state.rulesVersion),
      canonical: CANONICAL_VERSION,
      schemas: this.context.schemas,
      sources: progress.map((p) => ({
        topic: p.claim.topic,
        partition: p.claim.partition,
        from: String(p.from),
        next: String(p.next),
        epoch: String(p.claim.epoch),
      })),
      order,
      skips,
      outcomes,
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
    this.cache.rulesVersion = state.rulesVersion
    this.cachedHash = hash
  }
}

const CHECK_IDS_BATCHES = 20

const isTakenId = (error: unknown): boolean =>
  error instanceof OperatingError &&
  error.code === 'compare_and_swap_failed' &&
  error.message.includes('transaction ids')

/** How far each partition got: a partition may stand in the selection more than once. */
const progressOf = (selection: readonly PartitionInputs[], consumed: number): PartitionProgress[] => {
  const byClaim = new Map<ClaimedPartition, PartitionProgress>()
  let left = consumed
  for (const part of selection) {
    const count = Math.min(left, part.inputs.length)
    if (count === 0) break
    left -= count
    const before = byClaim.get(part.claim)
    byClaim.set(part.claim, {
      claim: part.claim,
      from: before?.from ?? part.from,
      next: part.inputs[count - 1]!.offset + 1n,
      last: part.lastRecord(count) ?? before?.last ?? null,
    })
  }
  return [...byClaim.values()]
}

const phaseClock = () => {
  let started = performance.now()
  const phases = { lock: 0, load: 0, decide: 0, encode: 0, commit: 0 }
  return {
    phases,
    ends(phase: keyof typeof phases): void {
      const now = performance.now()
      phases[phase] = now - started
      started = now
    },
  }
}
