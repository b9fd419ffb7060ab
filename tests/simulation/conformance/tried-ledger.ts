/** The ledger that all cases share, real or simulated: where its logs end, who reads them now, and batches that may be wrong on purpose. */
import { decideBatch } from '#domain/ledger/decide.ts'
import { NO_HORIZONS } from '#domain/ledger/horizons.ts'
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import { type BatchNeeds, collectNeeds } from '#domain/ledger/needs.ts'
import { posting, transaction } from '#domain/ledger/testing/memory-ledger.ts'
import type { LedgerSession } from '#platform/postgres/ledger-store/session.ts'
import type {
  ClaimedPartition,
  LockedHead,
  PartitionProgress,
} from '#platform/postgres/ledger-store/store.ts'
import { frameSchemaIds } from '#platform/schema-registry/contracts.ts'
import { BatchApplier } from '#processors/apply/batch.ts'
import { encodersOf, LedgerDriver, localContracts } from '#processors/testing/ledger-fixture.ts'
import type { PostgresBench } from './postgres-bench.ts'

export interface PostgresCase {
  readonly name: string
  run(bench: PostgresBench, ledger: TriedLedger): Promise<void>
}

export const PARTITIONS = [
  ...['accounts', 'rules', 'reviews', 'fraud.labels', 'ticks'].map((topic) => ({
    topic,
    partition: 0,
    initialOffset: 0n,
    topicId: null,
  })),
  ...[0, 1, 2].map((partition) => ({
    topic: 'transactions',
    partition,
    initialOffset: 0n,
    topicId: null,
  })),
]

/** The ledger that the cases share: where its logs end, and who reads them now. */
export class TriedLedger {
  readonly bench: PostgresBench
  driver: LedgerDriver | null = null
  private readonly next: Map<string, bigint>

  /** @param before the same ledger in the case before, whose logs go on */
  constructor(bench: PostgresBench, before: TriedLedger | null) {
    this.bench = bench
    this.next = before?.next ?? new Map()
  }

  log(inputs: readonly LedgerInput[]): LedgerInput[] {
    return inputs.map((input) => {
      const name = `${input.topic}:${input.partition}`
      const offset = this.next.get(name) ?? 0n
      this.next.set(name, offset + 1n)
      return { ...input, offset }
    })
  }

  /** Takes the partitions with a new session. */
  async take(label: string, idleInTransactionMs?: number): Promise<LedgerDriver> {
    const session = await this.bench.session(label, idleInTransactionMs)
    const claims = await session.claim(PARTITIONS)
    const applier = new BatchApplier({
      ledger: 'conformance',
      session,
      clock: this.bench.place.clock,
      encoders: encodersOf(localContracts),
      schemas: frameSchemaIds(localContracts),
      accountsMax: 1_000,
      publishBacklogMax: 1_000_000,
      publishedSequence: () => 0n,
    })
    const byName = new Map(claims.map((claim) => [`${claim.topic}:${claim.partition}`, claim]))
    this.driver = new LedgerDriver(session, applier, byName)
    return this.driver
  }

  async apply(inputs: readonly LedgerInput[]): Promise<void> {
    await this.driver!.apply(this.log(inputs))
  }

  /** All that a batch could load, read under the head by whoever has the partitions. */
  async loadAll(needs: Partial<BatchNeeds> = {}): Promise<void> {
    const { session } = this.driver!
    const head = await session.begin()
    await session.load(head, { ...collectNeeds([]), ...needs }, emptyCache(), { checkIds: true })
    await session.rollback()
  }
}

const emptyCache = () => ({
  accounts: new Map(),
  parties: new Map(),
  rules: null,
  horizons: NO_HORIZONS,
  rulesVersion: -1n,
})

export const payment = (id: string, amount = 10n, changes: Parameters<typeof transaction>[0] = {}) =>
  transaction({ id, postings: [posting({ debit: 'world', credit: 'alice', amount })], ...changes })

interface Falsified {
  readonly head?: Partial<LockedHead>
  readonly progress?: Partial<Omit<PartitionProgress, 'claim'>> & { readonly epochBy?: bigint }
}

/** Decides a payment under the head and commits it with something that may not be so. */
export const commitOne = async (
  session: LedgerSession,
  claims: ReadonlyMap<string, ClaimedPartition>,
  id: string,
  falsified: Falsified = {},
): Promise<void> => {
  const head = await session.begin()
  await commitUnder(session, claims, head, id, falsified)
}

/** As commitOne, under a head that is locked. */
export const commitUnder = async (
  session: LedgerSession,
  claims: ReadonlyMap<string, ClaimedPartition>,
  head: LockedHead,
  id: string,
  falsified: Falsified = {},
  options: { readonly isAhead?: boolean; readonly checkIds?: boolean } = {},
): Promise<void> => {
  const claim = claims.get('transactions:0')!
  const offset = head.positions.get('transactions:0')!
  const inputs = [{ ...payment(id), offset }]
  const { checkIds = true } = options
  const state = await session.load(head, collectNeeds(inputs), emptyCache(), { checkIds })
  const effects = decideBatch(state, inputs)
  const { epochBy = 0n, ...progress } = falsified.progress ?? {}
  const bytes = Buffer.alloc(32, 7)
  const commit = options.isAhead === true ? session.commitAhead : session.commit
  await commit.call(
    session,
    { ...head, ...falsified.head },
    state,
    effects,
    [
      {
        claim: { ...claim, epoch: claim.epoch + epochBy },
        from: offset,
        next: offset + 1n,
        last: null,
        ...progress,
      },
    ],
    { hash: bytes, format: 1, records: 1, header: bytes, payload: bytes },
  )
}
