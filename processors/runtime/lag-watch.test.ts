/** What is shown of the lag: against the ends as they are now, for partitions that stand still as well. */
import { expect, test } from 'vitest'
import { type Lag, makeLagWatch, type Standing } from './lag-watch.ts'

const at = (topic: string, partition: number, position: bigint): Standing => ({ topic, partition, position })
const range = (partition: number, end: bigint) => ({ partition, start: 0n, end })

test('the distance to the end as it is now; nothing for what is not there, none for what is beyond', async () => {
  const shown: (readonly Lag[])[] = []
  const ends = {
    transactions: [range(0, 100n), range(1, 3n)],
    accounts: [range(0, 5n)],
  }
  const look = makeLagWatch({
    standing: () => [
      at('transactions', 0, 40n),
      at('transactions', 1, 9n),
      at('accounts', 0, 5n),
      at('accounts', 7, 0n),
    ],
    ranges: async (topic) => ends[topic as keyof typeof ends],
    show: (lags) => shown.push(lags),
    onFailure: (error) => expect.unreachable(String(error)),
  })
  await look()
  ends.transactions = [range(0, 300n), range(1, 3n)]
  await look()
  expect(shown.map((lags) => lags.map(({ lag }) => lag))).toEqual([
    [60n, 0n, 0n],
    [260n, 0n, 0n],
  ])
})

test('one at a time; after a failure it is looked at again', async () => {
  let asked = 0
  let fail: (error: Error) => void = () => undefined
  const failures: unknown[] = []
  const shown: (readonly Lag[])[] = []
  const look = makeLagWatch({
    standing: () => [at('transactions', 0, 0n)],
    ranges: () => {
      asked += 1
      return asked > 1
        ? Promise.resolve([range(0, 1n)])
        : new Promise((_resolve, reject) => {
            fail = reject
          })
    },
    show: (lags) => shown.push(lags),
    onFailure: (error) => failures.push(error),
  })
  const first = look()
  await look()
  expect(asked).toBe(1)
  fail(new Error('away'))
  await first
  await look()
  expect([failures.length, shown.length]).toEqual([1, 1])
})
