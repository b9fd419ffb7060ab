/** The record encoder gives the bytes that the client's own encoder gives, for every kind of record. */
import { createRequire } from 'node:module'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { encodeRecord, type RecordToEncode } from './record-encoder.ts'

const original = createRequire(import.meta.url)('kafkajs/src/protocol/recordBatch/record/v0') as (
  record: RecordToEncode,
) => { buffer: Buffer }

const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array))
const part = fc.oneof(bytes, fc.string({ unit: 'binary', maxLength: 200 }), fc.constant(null))
const header = fc.oneof(bytes, fc.string({ unit: 'binary', maxLength: 40 }))
const record = fc.record(
  {
    offsetDelta: fc.oneof(fc.nat(200), fc.nat()),
    timestampDelta: fc.oneof(fc.nat(200), fc.maxSafeNat()),
    key: part,
    value: part,
    headers: fc.dictionary(
      fc.string({ maxLength: 20 }),
      fc.oneof(header, fc.array(header, { maxLength: 3 })),
    ),
  },
  { requiredKeys: [] },
)

test('any record has the bytes of the format', () => {
  fc.assert(
    fc.property(record, (one) => {
      const encoded = encodeRecord(one)
      expect(encoded.buffer.equals(original(one).buffer)).toBe(true)
      expect(encoded.size()).toBe(encoded.buffer.length)
    }),
    { numRuns: 2_000 },
  )
})

test.each([
  [{}, '0c000000010100'],
  [{ key: null, value: Buffer.from([7]), offsetDelta: 64 }, '1000008001010207 00'],
])('%j is as the protocol says', (one, hex) => {
  expect(encodeRecord(one).buffer.toString('hex')).toBe(hex.replaceAll(' ', ''))
})
