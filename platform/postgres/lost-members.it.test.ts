/** Owners without a database session, and what is done about them. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { testConfiguration } from '#infra/local/test-names.ts'
import { LedgerFixture } from '#processors/testing/ledger-fixture.ts'
import { Lease } from './lease.ts'
import { endLeases, readLostMembers } from './lost-members.ts'

let ledger: LedgerFixture

beforeAll(async () => {
  ledger = await LedgerFixture.create(testConfiguration('lost'))
})
afterAll(() => ledger.close())

const at = (partition: number) => [{ topic: 'transactions', partition, initialOffset: 0n, topicId: null }]

it('names members whose session ended without a release, until somebody takes their partitions', async () => {
  const dead = await ledger.openSession({ owner: 'dead' })
  const alive = await ledger.openSession({ owner: 'alive' })
  const tidy = await ledger.openSession({ owner: 'tidy' })
  const { clusterId } = alive
  await dead.claim([...at(60), ...at(61)], 'member-dead')
  await alive.claim(at(62), 'member-alive')
  await tidy.release(await tidy.claim(at(63), 'member-tidy'))
  expect(await readLostMembers(ledger.pool, clusterId)).toEqual([])

  await Promise.all([dead.close(), tidy.close()])
  await expect
    .poll(() => readLostMembers(ledger.pool, clusterId), { timeout: 15_000 })
    .toEqual([{ memberId: 'member-dead', holder: 'dead' }])

  await alive.claim([...at(60), ...at(61)], 'member-alive')
  expect(await readLostMembers(ledger.pool, clusterId)).toEqual([])
})

it("ends a dead process's leases and nobody else's", async () => {
  const lease = (name: string, holder: string) =>
    new Lease(ledger.pool, { name, holder, lifetimeMs: 3_600_000 })
  await lease('one', 'gone').take()
  await lease('two', 'living').take()
  expect(await lease('one', 'living').take()).toBe(false)
  await endLeases(ledger.pool, 'gone')
  expect(await lease('one', 'living').take()).toBe(true)
  expect(await lease('two', 'gone').take()).toBe(false)
})
