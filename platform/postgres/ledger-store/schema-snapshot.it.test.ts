/**
 * The migrated schema is the one in schemas/sql/snapshot.txt, and migrations are forward-only. After a new migration:
 * `npx vitest run --project integration schema-snapshot --update` writes the snapshot anew; read its difference before committing.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LOGIC_VERSION } from '#domain/ledger/state.ts'
import { START_MS } from '#domain/ledger/testing/memory-ledger.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { migrateLedger } from '#platform/postgres/migrate.ts'
import { LedgerFixture } from '#processors/testing/ledger-fixture.ts'
import { dumpSchema } from './schema-dump.fixtures.ts'

const configuration = testConfiguration('snapshot')
let ledger: LedgerFixture

beforeAll(async () => {
  ledger = await LedgerFixture.create(configuration)
})
afterAll(() => ledger.close())

const migrateAgain = (nowMs = START_MS) =>
  migrateLedger(configuration.postgres, {
    ledger: configuration.ledger.name,
    nowMs,
    logicVersion: LOGIC_VERSION,
  })

describe('migrations', () => {
  it('make the schema of the snapshot', async () => {
    const dump = await dumpSchema(ledger, configuration.postgres.schema)
    expect(dump).toContain('table ledger_head with (fillfactor=10')
    await expect(dump).toMatchFileSnapshot('../../../schemas/sql/snapshot.txt')
  })

  it('do nothing the second time, and leave the genesis alone', async () => {
    const before = await ledger.rows('select * from ledger_head')
    const result = await migrateAgain(START_MS + 1_000)
    expect(result.applied).toEqual([])
    expect(result.alreadyThere.length).toBeGreaterThan(0)
    expect(await ledger.rows('select * from ledger_head')).toEqual(before)
  })

  it('refuse a migration whose text was changed after it was applied, and change nothing', async () => {
    const [first] = await ledger.rows<{ name: string; hash: string }>(
      'select name, hash from migrations order by 1',
    )
    await ledger.rows('update migrations set hash = $1 where name = $2', ['0'.repeat(64), first!.name])
    const before = await dumpSchema(ledger, configuration.postgres.schema)
    await expect(migrateAgain(START_MS + 400 * 86_400_000)).rejects.toMatchObject({
      code: 'migration_changed',
    })
    expect(await dumpSchema(ledger, configuration.postgres.schema)).toBe(before)
    await ledger.rows('update migrations set hash = $1 where name = $2', [first!.hash, first!.name])
  })

  it('run by two at once do no harm', async () => {
    const later = START_MS + 400 * 86_400_000
    await Promise.all([migrateAgain(later), migrateAgain(later)])
    expect(await ledger.rows(`select to_regclass('batches_2024_12') is not null as there`)).toEqual([
      { there: true },
    ])
  })
})
