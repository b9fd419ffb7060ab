/** What a transaction leaves behind: all of the work or nothing, and a connection that the next one can use. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { testConfiguration } from '#infra/local/test-names.ts'
import { OperatingError } from '#platform/errors.ts'
import { type EnginePool, makeEnginePool } from './engine-pool.ts'
import { inTransaction, inTransactionOn } from './transaction.ts'

const { postgres } = testConfiguration('transaction')
let pool: EnginePool

beforeAll(async () => {
  pool = makeEnginePool(postgres, { applicationName: 'tests', connectionsMax: 1 })
  await pool.query(`create schema "${postgres.schema}"`)
  await pool.query('create table things (name text primary key)')
})
beforeEach(() => pool.query('truncate things'))
afterAll(async () => {
  await pool.query(`drop schema "${postgres.schema}" cascade`)
  await pool.end()
})

const names = async (): Promise<string[]> =>
  (await pool.query<{ name: string }>('select name from things order by 1')).rows.map(({ name }) => name)

it('keeps all of the work, under the settings that it begins with', async () => {
  const result = await inTransaction(
    pool,
    async (client) => {
      await client.query(`insert into things values ('a'), ('b')`)
      return (await client.query<{ jit: string }>('show jit')).rows[0]!.jit
    },
    { begin: 'begin; set local jit = off' },
  )
  expect(result).toBe('off')
  expect(await names()).toEqual(['a', 'b'])
})

it('keeps nothing where the work fails, says why, and the connection goes on', async () => {
  const work = async (error: Error) =>
    inTransaction(pool, async (client) => {
      await client.query(`insert into things values ('a')`)
      throw error
    })
  await expect(work(new OperatingError('ours', 'no'))).rejects.toMatchObject({ code: 'ours' })
  const twice = inTransaction(pool, (client) => client.query(`insert into things values ('a'), ('a')`))
  await expect(twice).rejects.toMatchObject({ code: 'postgres_failed' })
  expect(await names()).toEqual([])
  expect(pool.totalCount).toBe(1)
})

it('gives the error as it came to whoever holds the connection', async () => {
  const client = await pool.connect()
  try {
    const twice = inTransactionOn(client, () => client.query(`insert into things values ('a'), ('a')`))
    await expect(twice).rejects.toMatchObject({ code: '23505' })
    await inTransactionOn(client, () => client.query(`insert into things values ('b')`), {
      keeps: () => false,
    })
  } finally {
    client.release()
  }
  expect(await names()).toEqual([])
})

it('is no success where an error was passed over: Postgres then rolls back at the commit', async () => {
  const work = inTransaction(pool, async (client) => {
    await client.query(`insert into things values ('a')`)
    await client.query('select 1 / 0').catch(() => undefined)
  })
  await expect(work).rejects.toMatchObject({ code: 'postgres_failed' })
  expect(await names()).toEqual([])
})

it('does not give back a connection that broke', async () => {
  const work = inTransaction(pool, (client) => client.query('select pg_terminate_backend(pg_backend_pid())'))
  await expect(work).rejects.toMatchObject({ code: 'postgres_unreachable' })
  expect(await names()).toEqual([])
})
