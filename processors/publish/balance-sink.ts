/** Hands the newest balances of a round to the cache, decoded from the very bytes that are published. */
import type { StoredBatch } from '#platform/postgres/batch-store.ts'
import type { ApplyResult, BalanceCacheWriter } from '#platform/redis/balance-cache-writer.ts'
import type { AccountBalance } from '#platform/redis/balance-value.ts'
import type { Contract } from '#platform/schema-registry/contracts.ts'
import type { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { AvroDecoder } from '#platform/schema-registry/serde.ts'
import type { BalanceSink } from './publisher.ts'

interface BalanceValue {
  readonly account: string
  readonly currency: string
  readonly normalSide: 'debit' | 'credit'
  readonly posted: bigint
  readonly reserved: bigint
  readonly limited: boolean
  readonly overdraftLimit: bigint
  readonly sequence: bigint
  readonly recordedAt: bigint
}

/** A sink that writes to the given cache. */
export const balanceSinkOf = (
  writer: Pick<BalanceCacheWriter, 'applyBalances' | 'touch'>,
  options: {
    readonly registry: SchemaRegistry
    readonly contract: Contract
    readonly timeline: bigint
    /** Told what became of each round. @param balances how many it held */
    readonly onApplied?: (result: ApplyResult, balances: number) => void
  },
): BalanceSink => {
  // The hash of the batch that they stand in was checked before.
  const decoder = new AvroDecoder<BalanceValue>(options.registry, options.contract.schema, { trusted: true })
  const rowOf = (bytes: Buffer): AccountBalance => {
    const { account, sequence, recordedAt, ...balance } = decoder.decode(bytes)
    return {
      ...balance,
      accountId: account,
      version: { timeline: options.timeline, sequence },
      recordedAtMs: Number(recordedAt),
    }
  }
  return {
    apply: async (balances: ReadonlyMap<string, Buffer>, batch: StoredBatch) => {
      const writers = new Set<number>()
      for (const bytes of balances.values()) writers.add(bytes.readInt32BE(1))
      await decoder.prepare(writers)
      const rows = [...balances.values()].map(rowOf)
      const { sequence, recordedAtMs } = batch
      const result = await writer.applyBalances(rows, { sequence, recordedAtMs })
      options.onApplied?.(result, rows.length)
    },
    touch: async () => {
      await writer.touch()
    },
  }
}
