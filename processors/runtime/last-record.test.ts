/** What is kept of a record fits the database, whatever time its producer gave it. */
import { expect, test } from 'vitest'
import { int8Array } from '#platform/postgres/binary-arrays.ts'
import { lastRecord } from './last-record.ts'

test.each([-(2n ** 63n), -1n, 0n, 1_700_000_000_000n, 2n ** 63n - 1n])('time %s', (timestampMs) => {
  const last = lastRecord({
    topic: 't',
    partition: 0,
    offset: 1n,
    timestampMs,
    key: null,
    value: null,
    headers: undefined,
    sizeBytes: 0,
  })
  expect(int8Array([last!.timestampMs])).toHaveLength(32)
})
