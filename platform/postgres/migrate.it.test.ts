/** Partitions ahead of a ledger's time, also when time has jumped over those that were made. */
import { expect, it } from 'vitest'
import { testConfiguration } from '#infra/local/test-names.ts'
import { makeEnginePool } from './engine-pool.ts'
import { createPartitionsAhead, migrateLedger } from './migrate.ts'

it('rows in the default partition hinder neither the other months nor the next migration', async () => {
  const { postgres, ledger } = testConfiguration('partitions')
  const options = { ledger: ledger.name, logicVersion: 1 }
  await migrateLedger(postgres, { ...options, nowMs: Date.UTC(2024, 0, 15) })
  const pool = makeEnginePool(postgres, { applicationName: 'tests', connectionsMax: 2 })
  try {
    const later = Date.UTC(2024, 7, 15)
    await pool.query(
      `insert into batches (sequence, recorded_at, previous_hash, hash, format, records, header, payload)
       values (1, $1, '', '', 1, 0, '', '')`,
      [new Date(later)],
    )
    await pool.query('update ledger_head set tick_ms = $1', [later])
    await createPartitionsAhead(pool)
    await migrateLedger(postgres, { ...options, nowMs: later })
    const { rows } = await pool.query<{ july: string; august: string | null; october: string }>(
      `select to_regclass('batches_2024_07') as july, to_regclass('batches_2024_08') as august,
         to_regclass('batches_2024_10') as october`,
    )
    expect(rows).toEqual([{ july: 'batches_2024_07', august: null, october: 'batches_2024_10' }])
  } finally {
    await pool.query(`drop schema "${postgres.schema}" cascade`)
    await pool.end()
  }
})
