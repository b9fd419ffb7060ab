/**
 * Retention passes what isn't applied yet: the partition stops and says so, nothing is reset, the others go on; an operator's command
 * leads out of it, and what was lost is accounted for.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { transactionValue } from '#connectors/ingest/wire.ts'
import { transactionCommand } from '#domain/transactions/testing/fixtures.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { until } from '#platform/kafka/kafka.fixtures.ts'
import { encoderOf } from '#platform/schema-registry/contracts.ts'
import { HostileRun } from './hostile-run.ts'

const TIMEOUT_MS = 60_000
let run: HostileRun
beforeAll(async () => {
  run = await HostileRun.start(testConfiguration('retention'))
})
afterAll(() => run?.close())

const pay = (partition: number, ids: readonly string[]) => {
  const encoder = encoderOf<unknown>(run.fixture.contracts.transactions)
  return run.fixture.publish(
    ids.map((id) => ({
      topic: 'transactions',
      key: null,
      partition,
      value: encoder.encode(transactionValue(transactionCommand({ id, occurredAt: Date.now() }))),
    })),
  )
}
const decided = async () => (await run.fixture.ledger.history()).map(({ id }) => id).toSorted()
const isReady = async () => (await run.get('/health/ready'))?.status === 200

test('a stored offset that the log no longer has is an incident of that partition alone, until a person skips it', {
  timeout: 240_000,
}, async () => {
  await pay(0, ['a1', 'a2'])
  await pay(1, ['b1'])
  await run.untilApplied(TIMEOUT_MS)
  await until(isReady, TIMEOUT_MS)

  // Without an engine: one that is only frozen may have asked for the records already.
  await run.withoutEngine(async () => {
    await pay(0, ['a3', 'a4', 'a5'])
    await run.fixture.admin.deleteRecords(run.fixture.topic('transactions'), new Map([[0, 4n]]))
    await pay(1, ['b2'])
  })

  await until(() => run.engine.incidents.includes('position_out_of_range'), TIMEOUT_MS)
  await until(async () => (await decided()).includes('b2'), TIMEOUT_MS)
  await until(async () => !(await isReady()), TIMEOUT_MS)
  expect((await run.get('/metrics'))?.text).toMatch(
    /tallystream_incidents_total\{code="position_out_of_range"\} [1-9]/,
  )

  // It stays so, whatever comes: nothing jumps over the gap, and the others still go on.
  await pay(0, ['a6'])
  await pay(2, ['c1'])
  await until(async () => (await decided()).includes('c1'), TIMEOUT_MS)
  expect(await decided()).toEqual(['a1', 'a2', 'b1', 'b2', 'c1'])
  expect(await run.lags()).toEqual({ 'transactions:0': 4 })
  expect(await isReady()).toBe(false)

  const skip = [
    'positions',
    'skip',
    'transactions:0',
    '--to',
    'start',
    '--reason',
    'gone',
    '--yes',
    '--wait',
    '60',
  ]
  expect(await run.command(skip)).toMatchObject({ result: 'applied', from: '2', next_offset: '4' })
  await run.untilApplied(TIMEOUT_MS)
  await until(isReady, TIMEOUT_MS)
  expect(await decided()).toEqual(['a1', 'a2', 'a5', 'a6', 'b1', 'b2', 'c1'])
  const { lost, twice, deadLetters } = await run.accountFor()
  expect({ lost, twice, deadLetters }).toEqual({ lost: [], twice: [], deadLetters: { skipped: 2 } })
  expect(run.engine.state).toBe('running')
})
