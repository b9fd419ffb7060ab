/**
 * The ledger's store as a recovery gives it to the applier: what is decided again is committed only where it is, bit for bit, what
 * was recorded. The stored logic version is negative meanwhile, which keeps everybody else from deciding.
 */
import type { BatchNeeds } from '#domain/ledger/needs.ts'
import type { BatchEffects, LedgerState } from '#domain/ledger/state.ts'
import { IncidentError, OperatingError } from '#platform/errors.ts'
import type {
  ClaimedPartition,
  EncodedBatch,
  LedgerCache,
  LedgerStore,
  LoadOptions,
  LockedHead,
  PartitionProgress,
} from '#platform/postgres/ledger-store/store.ts'
import type { RecordedBatch } from './recorded.ts'

export class RecordedStore implements LedgerStore {
  private readonly inner: LedgerStore
  private expected: RecordedBatch | null = null
  private refused = false

  constructor(inner: LedgerStore) {
    this.inner = inner
  }

  /** What the next commit must be. */
  expect(batch: RecordedBatch): void {
    this.expected = batch
    this.refused = false
  }

  get isBroken(): boolean {
    return this.inner.isBroken
  }

  get clusterId(): string {
    return this.inner.clusterId
  }

  async claim(): Promise<ClaimedPartition[]> {
    throw new Error('a recovery takes no partitions')
  }

  async release(): Promise<void> {}

  /** @throws IncidentError `recover_other_past` where the head isn't what the expected batch follows */
  async begin(): Promise<LockedHead> {
    const head = await this.inner.begin()
    const { expected } = this
    if (expected !== null && !head.hash.equals(expected.previousHash)) {
      throw new IncidentError(
        'recover_other_past',
        `batch ${expected.sequence} as recorded doesn't follow the database's batch ${head.sequence}: it was decided on after it was restored, or is another ledger's`,
      )
    }
    return { ...head, logicVersion: Math.abs(head.logicVersion) }
  }

  load(head: LockedHead, needs: BatchNeeds, cache: LedgerCache, options: LoadOptions): Promise<LedgerState> {
    return this.inner.load(head, needs, cache, options)
  }

  /**
   * @throws IncidentError `recover_difference` where the batch isn't the recorded one; nothing is committed then. At first it throws
   * what taken ids would raise: ids are looked up only then, and one that is taken makes another decision.
   */
  async commit(
    head: LockedHead,
    state: LedgerState,
    effects: BatchEffects,
    progress: readonly PartitionProgress[],
    batch: EncodedBatch,
  ): Promise<void> {
    const { expected } = this
    if (expected === null || !expected.hash.equals(batch.hash)) {
      await this.inner.rollback()
      if (!this.refused) {
        this.refused = true
        throw new OperatingError('compare_and_swap_failed', 'transaction ids: perhaps some are taken', {
          retriable: true,
        })
      }
      throw new IncidentError('recover_difference', differenceOf(expected, batch))
    }
    await this.inner.commit({ ...head, logicVersion: -head.logicVersion }, state, effects, progress, batch)
  }

  async commitAhead(): Promise<void> {
    throw new Error('a recovery decides nothing ahead')
  }

  rollback(): Promise<void> {
    return this.inner.rollback()
  }

  close(): Promise<void> {
    return this.inner.close()
  }
}

const differenceOf = (expected: RecordedBatch | null, batch: EncodedBatch): string => {
  if (expected === null) return 'a batch was decided that is not recorded'
  const where = expected.headerBytes.equals(batch.header)
    ? 'its outputs differ (same header)'
    : `its header differs: recorded ${expected.headerBytes.toString('utf8')}, decided ${batch.header.toString('utf8')}`
  return `batch ${expected.sequence}: decided again it isn't what was recorded; ${where}`
}
