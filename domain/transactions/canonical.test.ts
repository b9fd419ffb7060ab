/** Canonical hashes: equal to a second, plain implementation of the documented encoding, and sensitive to every field. */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CANONICAL_VERSION, contentHash, transactionKey } from './canonical.ts'
import type { TransactionCommand } from './command.ts'
import { transactionCommand } from './testing/fixtures.ts'

const text = (value: string | null): Buffer => {
  const length = Buffer.alloc(4)
  if (value === null) return Buffer.from([255, 255, 255, 255])
  length.writeUInt32BE(Buffer.byteLength(value))
  return Buffer.concat([length, Buffer.from(value)])
}
const number = (value: bigint | number): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(BigInt(value))
  return bytes
}
const maybe = (value: number | null): Buffer =>
  value === null ? Buffer.from([0]) : Buffer.concat([Buffer.from([1]), number(value)])
const count = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
const sha256Start = (parts: Buffer[]): string =>
  createHash('sha256').update(Buffer.concat(parts)).digest('hex').slice(0, 32)

const plainContentHash = (command: TransactionCommand): string =>
  sha256Start([
    Buffer.from([CANONICAL_VERSION]),
    ...[command.id, command.source, command.kind, command.parentId, command.parentSource].map(text),
    ...[command.card, command.merchant, command.terminal, command.device, command.country].map(text),
    ...[command.endToEndId, command.uetr, command.actor].map(text),
    ...[command.valueTime, command.occurredAt, command.expiresAt].map(maybe),
    count(command.postings.length),
    ...command.postings.flatMap((p) => [text(p.debit), text(p.credit), text(p.currency), number(p.amount)]),
    count(Object.keys(command.metadata).length),
    ...Object.keys(command.metadata)
      .sort()
      .flatMap((key) => [text(key), text(command.metadata[key]!)]),
  ])

const words = fc.string({ unit: 'grapheme', maxLength: 100 })
const maybeWords = fc.option(words, { nil: null })
const times = fc.integer({ min: -8_640_000_000_000_000, max: 8_640_000_000_000_000 })
const commands: fc.Arbitrary<TransactionCommand> = fc.record({
  id: words,
  source: words,
  kind: fc.constantFrom('post', 'authorize', 'capture', 'void', 'reverse', 'exchange', 'unknown'),
  postings: fc.array(
    fc.record({
      debit: words,
      credit: words,
      currency: words,
      amount: fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
    }),
    { maxLength: 5 },
  ),
  parentId: maybeWords,
  parentSource: maybeWords,
  card: maybeWords,
  merchant: maybeWords,
  terminal: maybeWords,
  device: maybeWords,
  country: maybeWords,
  endToEndId: maybeWords,
  uetr: maybeWords,
  valueTime: fc.option(times, { nil: null }),
  occurredAt: times,
  expiresAt: fc.option(times, { nil: null }),
  actor: words,
  metadata: fc.dictionary(words, words, { maxKeys: 5 }),
  after: fc.constant(null),
})

test('equal to the plain implementation, for any command', () => {
  fc.assert(
    fc.property(commands, (command) => {
      expect(contentHash(command)).toBe(plainContentHash(command))
      expect(transactionKey(command.source, command.id)).toBe(
        sha256Start([text(command.source), text(command.id)]),
      )
    }),
  )
})

test('version 1 does not change: known values', () => {
  expect(transactionKey('bank', 'txn-1')).toBe('20264f3f56179ee82ca3fa345f20421a')
  expect(contentHash(transactionCommand())).toBe('a355f9dc4856a82cc97b1a71d9882f5c')
})

test('source and id do not run together', () => {
  expect(transactionKey('a', 'bc')).not.toBe(transactionKey('ab', 'c'))
  expect(transactionKey('', 'x')).not.toBe(transactionKey('x', ''))
})

test('every field counts, but not `after` and not the order of metadata', () => {
  const base = transactionCommand({ metadata: { a: '1', b: '2' } })
  const changes: Partial<TransactionCommand>[] = [
    { id: 'other' },
    { source: 'other' },
    { kind: 'authorize' },
    { postings: [] },
    { postings: [{ ...base.postings[0]!, amount: 101n }] },
    { postings: [{ ...base.postings[0]!, debit: 'other' }] },
    { postings: [{ ...base.postings[0]!, credit: 'other' }] },
    { postings: [{ ...base.postings[0]!, currency: 'USD' }] },
    ...(
      [
        'parentId',
        'parentSource',
        'card',
        'merchant',
        'terminal',
        'device',
        'country',
        'endToEndId',
        'uetr',
      ] as const
    ).flatMap((field) => [{ [field]: '' }, { [field]: 'other' }]),
    { actor: 'other' },
    { valueTime: 0 },
    { occurredAt: base.occurredAt + 1 },
    { expiresAt: 0 },
    { metadata: { a: '1' } },
    { metadata: { a: '1', b: '3' } },
  ]
  const hashes = new Set([contentHash(base), ...changes.map((change) => contentHash({ ...base, ...change }))])
  expect(hashes.size).toBe(changes.length + 1)
  expect(contentHash({ ...base, metadata: { b: '2', a: '1' } })).toBe(contentHash(base))
  expect(contentHash({ ...base, after: { topic: 'accounts', partition: 0, offset: 1n } })).toBe(
    contentHash(base),
  )
})

test('a time of arrival that stands in for the event time does not count', () => {
  const first = transactionCommand({ occurredAt: 1 })
  const again = transactionCommand({ occurredAt: 2 })
  expect(contentHash(first, { occurredAtGiven: false })).toBe(contentHash(again, { occurredAtGiven: false }))
  expect(contentHash(first)).not.toBe(contentHash(again))
})

test('a giant record grows the buffer and leaves the next one right', () => {
  const giant = transactionCommand({ metadata: { note: 'é'.repeat(1_000_000) } })
  expect(contentHash(giant)).toBe(plainContentHash(giant))
  const small = transactionCommand()
  expect(contentHash(small)).toBe(plainContentHash(small))
})

test('what does not fit the encoding is refused', () => {
  const posting = transactionCommand().postings[0]!
  expect(() => contentHash(transactionCommand({ postings: [{ ...posting, amount: 2n ** 63n }] }))).toThrow(
    RangeError,
  )
  expect(() => contentHash(transactionCommand({ occurredAt: 2 ** 60 }))).toThrow(RangeError)
  expect(() => contentHash(transactionCommand({ valueTime: 1.5 }))).toThrow(RangeError)
})
