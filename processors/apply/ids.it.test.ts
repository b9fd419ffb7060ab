/** Ids by content: sent again = duplicate without effect, other content = conflict; in one batch, across batches, after restarts. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import { account, external, posting, transaction } from '#domain/ledger/testing/memory-ledger.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { type LedgerDriver, LedgerFixture, outputsOf } from '../testing/ledger-fixture.ts'
import type { BatchResult } from './batch.ts'

let ledger: LedgerFixture
let driver: LedgerDriver

beforeAll(async () => {
  ledger = await LedgerFixture.create(testConfiguration('ids'))
  driver = await ledger.openDriver()
  await driver.apply(ledger.log([account('alice'), account('bob'), external('world')]))
})
afterAll(() => ledger.close())

const pay = (id: string, amount = 100n, source = 'test') =>
  transaction({ id, source, postings: [posting({ debit: 'world', credit: 'alice', amount })] })

const applied = async (inputs: readonly LedgerInput[], size?: number): Promise<BatchResult[]> =>
  driver.apply(ledger.log(inputs), size)

const outcomesOf = (results: readonly BatchResult[]): string[] =>
  results.flatMap(({ effects }) =>
    effects.decisions.map(({ status, reason }) => (reason === null ? status : `${status} ${reason}`)),
  )

const alice = async (): Promise<bigint> => (await ledger.balances()).get('alice')!.posted

/** A driver with nothing in memory that has decided nothing yet takes ids without looking first. */
const restart = async (): Promise<void> => {
  driver = await ledger.openDriver()
}

describe('an id', () => {
  it('is taken once in a batch: the same content again is a duplicate', async () => {
    const before = await alice()
    const results = await applied([pay('once'), pay('once'), pay('once')])
    expect(results).toHaveLength(1)
    expect(outcomesOf(results)).toEqual(['applied', 'duplicate', 'duplicate'])
    expect(await alice()).toBe(before + 100n)
  })

  it('with other content in the same batch is a conflict without effect', async () => {
    const before = await alice()
    const results = await applied([pay('twice', 100n), pay('twice', 999n), pay('twice', 100n)])
    expect(outcomesOf(results)).toEqual(['applied', 'rejected id_conflict', 'duplicate'])
    expect(await alice()).toBe(before + 100n)
  })

  it('taken in an earlier batch is found by taking it (no look-up before): then the batch is decided again', async () => {
    await applied([pay('earlier')])
    await restart()
    const before = await alice()
    const results = await applied([pay('new-1'), pay('earlier'), pay('earlier', 7n), pay('new-2')])
    expect(outcomesOf(results)).toEqual(['applied', 'duplicate', 'rejected id_conflict', 'applied'])
    expect(await alice()).toBe(before + 200n)
  })

  it('taken in an earlier batch is found by the look-up while repetitions are frequent', async () => {
    const before = await alice()
    // The duplicates of the test before switched the look-up on.
    const results = await applied([pay('earlier'), pay('earlier', 8n), pay('new-3')])
    expect(outcomesOf(results)).toEqual(['duplicate', 'rejected id_conflict', 'applied'])
    expect(await alice()).toBe(before + 100n)
  })

  it('is looked up no more after some batches without repetition, and is found all the same', async () => {
    await restart()
    await applied([pay('quiet'), pay('quiet')])
    await applied(
      Array.from({ length: 25 }, (_, n) => pay(`unique-${n}`)),
      1,
    )
    const before = await alice()
    expect(outcomesOf(await applied([pay('quiet'), pay('quiet', 5n)], 1))).toEqual([
      'duplicate',
      'rejected id_conflict',
    ])
    expect(await alice()).toBe(before)
  })

  it('belongs to its source', async () => {
    const results = await applied([pay('shared', 1n, 'one'), pay('shared', 2n, 'two')])
    expect(outcomesOf(results)).toEqual(['applied', 'applied'])
  })

  it('is consumed by a rejection too', async () => {
    const unknown = (amount: bigint) =>
      transaction({ id: 'rejected', postings: [posting({ debit: 'nobody', credit: 'alice', amount })] })
    await applied([unknown(1n)])
    const results = await applied([account('nobody', { limited: false }), unknown(1n), unknown(2n)])
    expect(outcomesOf(results)).toEqual(['duplicate', 'rejected id_conflict'])
  })

  it('in conflict raises an alert that names the record', async () => {
    await applied([pay('alerted', 1n)])
    await applied([pay('alerted', 2n)])
    const [last] = (await ledger.batches()).slice(-1)
    const alerts = await outputsOf<{ kind: string; transactionId: string }>(last!, 'fraud.alerts')
    expect(alerts.map(({ value }) => [value.kind, value.transactionId])).toEqual([['id_conflict', 'alerted']])
  })

  it('stands once in the table whatever was sent', async () => {
    const [counts] = await ledger.rows<{ ids: bigint; applied: bigint }>(
      `select (select count(*) from transaction_ids) as ids,
         (select count(distinct key) from transactions where cause = 0) as applied`,
    )
    expect(counts!.ids).toBe(counts!.applied)
    expect(await ledger.differences()).toEqual([])
  })
})
