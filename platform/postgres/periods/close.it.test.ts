/** Closing a month that doesn't add up, and closing beside commits and another closing. */
import { describe, expect, it } from 'vitest'
import { account, external, posting, tick, transaction } from '#domain/ledger/testing/memory-ledger.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { LedgerFixture } from '#processors/testing/ledger-fixture.ts'
import { closePeriods } from './close.ts'

const START = Date.UTC(2026, 0, 10, 12)

describe('a month that does not add up', () => {
  it('is not closed: the accounts concerned are named, nothing is kept', async () => {
    const other = await LedgerFixture.create(testConfiguration('periods_wrong'), START)
    try {
      const engine = await other.openDriver()
      const pay = (id: string) =>
        transaction({ id, postings: [posting({ debit: 'world', credit: 'alice' })] })
      await engine.apply(
        other.log([external('world'), account('alice'), pay('one'), pay('two'), tick(Date.UTC(2026, 1, 3))]),
      )
      await other.pool.query(
        'update postings set amount = amount + 1 where index = (select max(index) from postings)',
      )
      const { closed, findings } = await closePeriods(other.pool, { actor: 'tester' })
      expect(closed).toEqual([])
      expect(findings.map(({ period, kind, key }) => [period, kind, key])).toEqual([
        ['2026-01', 'balance', 'world'],
        ['2026-01', 'balance', 'alice'],
      ])
      expect(await other.rows('select 1 from closings union all select 1 from periods')).toEqual([])
      await other.pool.query(
        'update postings set amount = amount - 1 where index = (select max(index) from postings)',
      )
      expect((await closePeriods(other.pool, { actor: 'tester' })).closed).toHaveLength(1)
    } finally {
      await other.close()
    }
  })

  it('closing goes on with commits between its slices, and two at once do no harm', async () => {
    const other = await LedgerFixture.create(testConfiguration('periods_busy'), START)
    try {
      const engine = await other.openDriver()
      const pay = (id: string) =>
        transaction({ id, postings: [posting({ debit: 'world', credit: 'alice' })] })
      await engine.apply(
        other.log([external('world'), account('alice'), pay('one'), tick(Date.UTC(2026, 1, 3))]),
      )
      let slices = 0
      const { closed } = await closePeriods(other.pool, {
        actor: 'tester',
        onSlice: async () => {
          slices += 1
          await engine.apply(other.log([pay(`in between ${slices}`)]))
          await expect(closePeriods(other.pool, { actor: 'second' })).rejects.toMatchObject({
            code: 'periods_busy',
          })
        },
      })
      expect([slices, closed.map(({ postings }) => postings)]).toEqual([1, [1n]])
    } finally {
      await other.close()
    }
  })
})
