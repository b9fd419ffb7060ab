/** Taking partitions: the old owner's database session is ended, the epoch raised, and only then is the position read. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { account, external, posting, transaction } from '#domain/ledger/testing/memory-ledger.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { LedgerFixture } from '#processors/testing/ledger-fixture.ts'

let ledger: LedgerFixture

beforeAll(async () => {
  ledger = await LedgerFixture.create(testConfiguration('claim'))
})
afterAll(() => ledger.close())

const at = (partition: number, initialOffset = 0n, topicId: string | null = null) => [
  { topic: 'transactions', partition, initialOffset, topicId },
]
const isAlive = async (backend: number): Promise<boolean> =>
  (await ledger.rows('select 1 from pg_stat_activity where pid = $1', [backend])).length === 1

describe('claiming a partition', () => {
  it('starts a partition that was never read at the given offset, and only then', async () => {
    const session = await ledger.openSession()
    const [first] = await session.claim(at(50, 42n))
    expect(first).toMatchObject({ nextOffset: 42n, last: null })
    const [second] = await session.claim(at(50, 99n))
    expect(second).toMatchObject({ nextOffset: 42n, epoch: first!.epoch + 1n })
  })

  it('keeps the id of the topic that is first known, and tells it', async () => {
    const session = await ledger.openSession()
    const [first, second] = ['1', '2'].map((digit) => digit.repeat(32))
    const idOf = async (topicId: string | null) => (await session.claim(at(51, 0n, topicId)))[0]!.topicId
    expect(await idOf(null)).toBeNull()
    expect(await idOf(first!)).toBe(first)
    expect(await idOf(second!)).toBe(first)
    expect(await idOf(null)).toBe(first)
  })

  it('raises the epoch and ends the database session of the old owner', async () => {
    const [old, next] = [
      await ledger.openSession({ owner: 'old' }),
      await ledger.openSession({ owner: 'next' }),
    ]
    const [before] = await old.claim(at(10))
    const { rows } = await old.query<{ pid: number }>('t-pid', 'select pg_backend_pid() as pid')
    const [after] = await next.claim(at(10))
    expect(after!.epoch).toBe(before!.epoch + 1n)
    expect(await isAlive(rows[0]!.pid)).toBe(false)
    await expect(old.query('t-one', 'select 1')).rejects.toMatchObject({ code: 'postgres_unreachable' })
    expect(
      await ledger.rows(`select owner from ingest_offsets where topic = 'transactions' and partition = 10`),
    ).toEqual([{ owner: 'next' }])
  })

  it('leaves a session alone that has let go of the partition', async () => {
    const [old, next] = [
      await ledger.openSession({ owner: 'old' }),
      await ledger.openSession({ owner: 'next' }),
    ]
    const claimed = await old.claim([...at(11), ...at(12)])
    await old.release(claimed)
    await next.claim([...at(11), ...at(12)])
    expect((await old.query<{ one: number }>('t-one', 'select 1 as one')).rows).toEqual([{ one: 1 }])
  })

  it('does not end the session of an owner of other partitions', async () => {
    const [old, next] = [
      await ledger.openSession({ owner: 'old' }),
      await ledger.openSession({ owner: 'next' }),
    ]
    await old.claim(at(13))
    await next.claim(at(14))
    expect((await old.query<{ one: number }>('t-one', 'select 1 as one')).rows).toEqual([{ one: 1 }])
  })

  it('ignores a release by somebody who lost the partition meanwhile', async () => {
    const [old, next] = [
      await ledger.openSession({ owner: 'old' }),
      await ledger.openSession({ owner: 'next' }),
    ]
    const claimed = await old.claim(at(15))
    await old.release(claimed)
    await next.claim(at(15))
    await old.release(claimed)
    expect(
      await ledger.rows(`select owner from ingest_offsets where topic = 'transactions' and partition = 15`),
    ).toEqual([{ owner: 'next' }])
  })

  it('does not end a later session that happens to have got the same process id', async () => {
    const session = await ledger.openSession({ owner: 'bystander' })
    const { rows } = await session.query<{ pid: number }>('t-pid', 'select pg_backend_pid() as pid')
    await ledger.rows(
      `insert into ingest_offsets (cluster_id, topic, partition, owner, owner_backend_pid, owner_backend_start)
       values ($1, 'transactions', 16, 'long gone', $2, now() - interval '1 day')`,
      [session.clusterId, rows[0]!.pid],
    )
    await (await ledger.openSession()).claim(at(16))
    expect(await isAlive(rows[0]!.pid)).toBe(true)
  })

  it('reads the position only after the old owner can commit no more', async () => {
    const old = await ledger.openDriver({ owner: 'old' })
    await old.apply(ledger.log([account('alice'), external('world')]))
    const pay = (id: string) =>
      transaction({ id, postings: [posting({ debit: 'world', credit: 'alice', amount: 1n })] })
    await old.apply(ledger.log([pay('before')]))
    // The old owner is about to commit: its offset row is advanced, but not yet visible.
    await old.session.begin()
    await old.session.query(
      't-advance',
      `update ingest_offsets set next_offset = 2 where topic = 'transactions' and partition = 0`,
    )
    const next = await ledger.openSession({ owner: 'next' })
    const claiming = next.claim(at(0))
    await sleep(50)
    const commit = await old.session.query('t-commit', 'commit').then(
      () => 'committed',
      () => 'ended',
    )
    const [claimed] = await claiming
    const [row] = await ledger.rows<{ next_offset: bigint }>(
      `select next_offset from ingest_offsets where topic = 'transactions' and partition = 0`,
    )
    expect(commit).toBe('ended')
    expect(claimed!.nextOffset).toBe(1n)
    expect(row!.next_offset).toBe(1n)
  })

  it('makes what the old owner still had in hand fail', async () => {
    const old = await ledger.openDriver({ owner: 'old' })
    const inputs = ledger.log([
      transaction({ id: 'late', postings: [posting({ debit: 'world', credit: 'alice', amount: 1n })] }),
    ])
    await ledger.openDriver({ owner: 'next' })
    await expect(old.apply(inputs)).rejects.toMatchObject({ retriable: true })
    expect((await ledger.history()).map((row) => row.id)).not.toContain('late')
  })
})
