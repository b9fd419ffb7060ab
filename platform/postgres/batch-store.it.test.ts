/** Reading batches: bounded in what they take when unpacked, too. */
import { zstdCompressSync } from 'node:zlib'
import { expect, it } from 'vitest'
import { testConfiguration } from '#infra/local/test-names.ts'
import { BatchStore } from './batch-store.ts'
import { makeEnginePool } from './engine-pool.ts'
import { migrateLedger } from './migrate.ts'

it('reads what fits in memory when unpacked, and at least one', async () => {
  const { postgres, ledger } = testConfiguration('batch_store')
  await migrateLedger(postgres, { ledger: ledger.name, logicVersion: 1, nowMs: Date.UTC(2024, 0, 15) })
  const pool = makeEnginePool(postgres, { applicationName: 'tests', connectionsMax: 2 })
  try {
    for (const [place, bytes] of [30_000, 10_000, 50_000].entries()) {
      await pool.query(
        `insert into batches (sequence, recorded_at, previous_hash, hash, format, records, header, payload)
         values ($1, '2024-01-15', '', '', 1, 0, '', $2)`,
        [place + 1, zstdCompressSync(Buffer.alloc(bytes))],
      )
    }
    const store = new BatchStore(pool)
    const read = async (after: bigint) => {
      const batches = await store.readAfter(after, { batchesMax: 10, bytesMax: 10_000 })
      return batches.map(({ sequence }) => Number(sequence))
    }
    expect([await read(0n), await read(2n), await read(3n)]).toEqual([[1, 2], [3], []])
  } finally {
    await pool.query(`drop schema "${postgres.schema}" cascade`)
    await pool.end()
  }
})
