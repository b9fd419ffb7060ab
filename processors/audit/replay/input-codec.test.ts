/** Inputs come out of the codec as they went in, across a real structured clone. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { LedgerInput, TransactionInput, UnreadableInput } from '#domain/ledger/inputs.ts'
import { account, posting, review, tick, transaction } from '#domain/ledger/testing/memory-ledger.ts'
import { Packer, transferOf, Unpacker } from './input-codec.ts'

const word = fc.constantFrom('alice', 'bob', 'EUR', 'caf\u00e9', '\u{1f600}', '')
const maybe = fc.option(word)
const time = fc.integer({ min: -(2 ** 52), max: 2 ** 52 })

const command = fc.record({
  id: fc.string({ unit: 'grapheme' }),
  source: word,
  postings: fc.array(
    fc.record({
      debit: word,
      credit: word,
      amount: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      currency: word,
    }),
    { maxLength: 3 },
  ),
  parentId: maybe,
  parentSource: maybe,
  card: maybe,
  merchant: maybe,
  terminal: maybe,
  device: maybe,
  country: maybe,
  endToEndId: maybe,
  uetr: maybe,
  valueTime: fc.option(time),
  occurredAt: time,
  expiresAt: fc.option(time),
  actor: word,
  metadata: fc.dictionary(
    fc.string().filter((key) => key !== '__proto__'),
    fc.string(),
    { noNullPrototype: true },
  ),
  after: fc.option(
    fc.record({ topic: word, partition: fc.nat(9), offset: fc.bigInt({ min: 0n, max: 2n ** 53n - 1n }) }),
  ),
})

const transactionInput: fc.Arbitrary<TransactionInput> = fc
  .record({ command, partition: fc.nat(2), offset: fc.nat(2 ** 31), appendedAtMs: time })
  .map(({ command: changes, partition, offset, appendedAtMs }) => ({
    ...transaction(changes),
    partition,
    offset: BigInt(offset),
    appendedAtMs,
  }))

const dead: UnreadableInput = {
  type: 'dead',
  topic: 'transactions',
  partition: 1,
  offset: 5n,
  letter: {
    reason: 'json_invalid',
    detail: 'x',
    key: null,
    value: Buffer.from('bytes').subarray(1, 4),
    valueBytes: 3,
    valueSha256: Buffer.alloc(32, 7),
    contentType: null,
  },
}
const others: fc.Arbitrary<LedgerInput> = fc.constantFrom<LedgerInput>(
  account('alice'),
  tick(1_700_000_000_123),
  review('t1', 'release'),
  dead,
  { type: 'advance', topic: 'transactions', partition: 2, offset: 9n },
)

it('gives back every input in its order', () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(fc.oneof(transactionInput, others), { maxLength: 12 }), { maxLength: 4 }),
      (batches) => {
        const packer = new Packer()
        const unpacker = new Unpacker()
        for (const inputs of batches) {
          const packed = packer.pack(inputs)
          const unpacked = unpacker.unpack(structuredClone(packed, { transfer: transferOf(packed) }))
          expect(unpacked).toEqual(inputs)
        }
      },
    ),
  )
})

it('begins its dictionary anew before it grows without end', () => {
  const packer = new Packer(100)
  const unpacker = new Unpacker()
  const many = (label: string) =>
    Array.from({ length: 60 }, (_, place) =>
      transaction({ postings: [posting({ debit: `${label}-${place}` })] }),
    )
  const restarts: boolean[] = []
  for (const label of ['a', 'b', 'c', 'a']) {
    const inputs = many(label)
    const packed = packer.pack(inputs)
    restarts.push(packed.restart)
    expect(unpacker.unpack(packed)).toEqual(inputs)
  }
  expect(restarts).toEqual([false, false, true, false])
})
