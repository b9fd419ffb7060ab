/** Records that mean harm, each kind with what must come of it: a dead letter's reason, or a decision. */
import { hash, randomFillSync } from 'node:crypto'
import { transactionValue } from '#connectors/ingest/wire.ts'
import { transactionCommand } from '#domain/transactions/testing/fixtures.ts'
import type { OutgoingRecord } from '#platform/kafka/producer.ts'
import { encoderOf } from '#platform/schema-registry/contracts.ts'
import { AvroEncoder } from '#platform/schema-registry/serde.ts'
import type { PipelineFixture } from '#processors/testing/pipeline-fixture.ts'

export interface PoisonKind {
  readonly name: string
  /** A dead letter's reason; or `applied`, or `rejected`. */
  readonly becomes: string
  /** @param number makes ids differ */
  make(number: number): Partial<OutgoingRecord> & { value: Buffer | null }
}

const MEBIBYTE = 1024 * 1024
/** Beyond what the engine takes, and still little once it is packed. */
const TOO_LARGE_BYTES = 2 * MEBIBYTE
const DEPTH = 100_000

const wireHeader = (schemaId: number): Buffer => {
  const bytes = Buffer.alloc(5)
  bytes.writeInt32BE(schemaId, 1)
  return bytes
}
/** A number as Avro writes it (zigzag, seven bits a byte). */
const varint = (value: bigint): Buffer => {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n))
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128)
  return Buffer.from([...bytes, Number(rest)])
}
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))

/** A payment of 0.01 EUR from alice to bob. */
const payment = (id: string) => ({
  id,
  source: 'hostile',
  from: 'alice',
  to: 'bob',
  amount: 0.01,
  currency: 'EUR',
  actor: 'tester',
})
const paymentText = (id: string, from: string, to: string): Buffer => {
  const text = JSON.stringify(payment(id))
  if (!text.includes(from)) throw new Error(`no ${from} in ${text}`)
  return Buffer.from(text.replace(from, to))
}

/** Writers' schemas that anybody could register: ours and one more field. */
const withExtraField = (schema: object, type: unknown): object => {
  const { fields, ...rest } = schema as { fields: object[] }
  return { ...rest, fields: [...fields, { name: 'extra', type }] }
}

/** All kinds. Registers the schemas that they need. */
export const poisonKinds = async (fixture: PipelineFixture): Promise<PoisonKind[]> => {
  const contract = fixture.contracts.transactions
  const ours = encoderOf<unknown>(contract)
  const transactionOf = (id: string) => transactionValue(transactionCommand({ id, occurredAt: Date.now() }))
  const good = (id: string) => ours.encode(transactionOf(id))
  const node = { type: 'record', name: 'Node', fields: [{ name: 'next', type: ['null', 'Node'] }] }
  const recursive = withExtraField(contract.schema, node)
  const hollow = withExtraField(contract.schema, { type: 'array', items: 'null' })
  const recursiveId = await fixture.registry.register(fixture.topic('recursive-value'), recursive as never)
  const hollowId = await fixture.registry.register(fixture.topic('hollow-value'), hollow as never)
  const encodeWith = (schema: object, id: number, extra: unknown, name: string) =>
    new AvroEncoder<unknown>(schema as never, id).encode({ ...transactionOf(name), extra })
  const start = (name: string) =>
    Buffer.concat([wireHeader(contract.id), varint(BigInt(name.length)), Buffer.from(name)])

  const kind = (name: string, becomes: string, make: PoisonKind['make']): PoisonKind => ({
    name,
    becomes,
    make,
  })
  return [
    kind('no value', 'empty_record', () => ({ value: null })),
    kind('a tombstone with a key', 'empty_record', (n) => ({ value: null, key: `key ${n}` })),
    kind('no bytes', 'empty_record', () => ({ value: Buffer.alloc(0) })),
    kind('random bytes', 'encoding_invalid', (n) => ({
      value: Buffer.concat([Buffer.from([0xff]), hash('sha512', String(n), 'buffer')]),
    })),
    kind('an unknown schema', 'schema_unknown', () => ({ value: wireHeader(2_000_000_001) })),
    kind('a negative schema id', 'schema_unknown', () => ({ value: wireHeader(-1) })),
    kind('the schema of another topic', 'schema_incompatible', () => ({
      value: Buffer.concat([wireHeader(fixture.contracts.ticks.id), Buffer.alloc(64)]),
    })),
    kind('half a wire header', 'avro_invalid', () => ({ value: Buffer.from([0, 0, 1]) })),
    kind('a record cut off', 'avro_invalid', (n) => ({ value: good(`cut ${n}`).subarray(0, 30) })),
    kind('a string of a tebibyte', 'avro_invalid', () => ({
      value: Buffer.concat([wireHeader(contract.id), varint(2n ** 40n), Buffer.from('x')]),
    })),
    kind('a string of negative length', 'avro_invalid', () => ({
      value: Buffer.concat([wireHeader(contract.id), varint(-5n), Buffer.from('x')]),
    })),
    kind('an array of a thousand million', 'avro_invalid', (n) => ({
      value: Buffer.concat([start(`a${n}`), varint(0n), varint(0n), varint(1_000_000_000n)]),
    })),
    kind('an array of as many in a block that says its size', 'avro_invalid', (n) => ({
      value: Buffer.concat([
        start(`b${n}`),
        varint(0n),
        varint(0n),
        varint(-1_000_000_000n),
        varint(2n ** 40n),
      ]),
    })),
    kind('a thousand million items of no bytes', 'avro_invalid', (n) => {
      const empty = encodeWith(hollow, hollowId, [], `hollow ${n}`)
      return { value: Buffer.concat([empty.subarray(0, -1), varint(1_000_000_000n), varint(0n)]) }
    }),
    kind('an Avro value nested deep', 'avro_invalid', (n) => {
      const flat = encodeWith(recursive, recursiveId, { next: null }, `deep ${n}`)
      return { value: Buffer.concat([flat.subarray(0, -1), Buffer.alloc(DEPTH, 2), Buffer.from([0])]) }
    }),
    kind('a number of eleven bytes', 'avro_invalid', () => ({
      value: Buffer.concat([wireHeader(contract.id), Buffer.alloc(11, 0xff)]),
    })),
    kind('no JSON', 'json_invalid', (n) => ({ value: Buffer.from(`{"id":"${n}"`) })),
    kind('two JSON values', 'json_invalid', (n) => ({ value: Buffer.from(`{"id":"${n}"}{}`) })),
    kind('bad UTF-8', 'encoding_invalid', () => ({
      value: Buffer.from([0x7b, 0x22, 0xc3, 0x28, 0x22, 0x7d]),
    })),
    kind('an overlong UTF-8 slash', 'encoding_invalid', () => ({
      value: Buffer.from([0x22, 0xc0, 0xaf, 0x22]),
    })),
    kind('half a surrogate pair', 'encoding_invalid', (n) => ({
      value: paymentText(`half ${n}`, 'tester', '\\ud83d'),
    })),
    kind('NUL in a name', 'encoding_invalid', (n) => ({
      value: paymentText(`nul ${n}`, 'tester', '\\u0000'),
    })),
    kind('JSON in UTF-16', 'encoding_invalid', (n) => ({
      value: Buffer.concat([
        Buffer.from([0xff, 0xfe]),
        Buffer.from(JSON.stringify(payment(`u ${n}`)), 'utf16le'),
      ]),
    })),
    kind('deep lists', 'json_too_deep', () => ({ value: Buffer.from('['.repeat(DEPTH)) })),
    kind('deep objects', 'json_too_deep', () => ({ value: Buffer.from(`${'{"a":'.repeat(DEPTH)}1`) })),
    kind('a number beyond all', 'schema_mismatch', (n) => ({
      value: paymentText(`inf ${n}`, '0.01', '1e999'),
    })),
    kind('a number of a million digits', 'schema_mismatch', (n) => ({
      value: paymentText(`digits ${n}`, '0.01', '9'.repeat(900_000)),
    })),
    kind('an amount that a double can’t hold', 'schema_mismatch', (n) => ({
      value: paymentText(`double ${n}`, '0.01', '90071992547409.93'),
    })),
    kind('a prototype as a field', 'schema_mismatch', (n) => ({
      value: paymentText(`proto ${n}`, '"actor"', '"__proto__":{"actor":"x"},"actor"'),
    })),
    kind('a prototype as metadata', 'schema_mismatch', (n) => ({
      value: paymentText(`meta ${n}`, '"actor"', '"metadata":{"__proto__":"x"},"actor"'),
    })),
    kind('a constructor as a field', 'schema_mismatch', (n) => ({
      value: paymentText(`constructor ${n}`, '"actor"', '"constructor":{"prototype":{"actor":"x"}},"actor"'),
    })),
    kind('names that come twice', 'json_invalid', (n) => ({
      value: paymentText(`twice ${n}`, '"from":"alice"', '"from":"nobody","from":"alice"'),
    })),
    kind('an unknown content type', 'content_type_unknown', (n) => ({
      value: json(payment(`type ${n}`)),
      headers: { 'content-type': 'image/png' },
    })),
    kind('a content type of random bytes', 'content_type_unknown', (n) => ({
      value: json(payment(`bytes ${n}`)),
      headers: { 'content-type': Buffer.from([0, 255, 10, 13]) },
    })),
    kind('JSON that says it is Avro', 'avro_invalid', (n) => ({
      value: json(payment(`liar ${n}`)),
      headers: { 'content-type': 'application/avro' },
    })),
    kind('Avro that says it is JSON', 'encoding_invalid', (n) => ({
      value: Buffer.concat([good(`liar ${n}`), Buffer.from([0xff])]),
      headers: { 'content-type': 'application/json' },
    })),
    kind('two hundred headers, and a key of 100 KiB', 'applied', (n) => ({
      value: json(payment(`headers ${n}`)),
      key: Buffer.alloc(100 * 1024, 0xfe),
      headers: Object.fromEntries(
        Array.from({ length: 200 }, (_, place) => [`header ${place}`, 'x'.repeat(100)]),
      ),
    })),
    kind('a mebibyte of noise in a field', 'rejected', (n) => ({
      value: json({ ...payment(`large ${n}`), metadata: { noise: noise(MEBIBYTE - 2_000) } }),
    })),
    kind('a mebibyte of postings', 'rejected', (n) => ({
      value: json({
        id: `postings ${n}`,
        source: 'hostile',
        postings: Array.from({ length: 15_000 }, () => ({
          debit: 'a',
          credit: 'b',
          amount: 1,
          currency: 'EUR',
        })),
        actor: 'tester',
      }),
    })),
    kind('two mebibytes, packed', 'too_large', () => ({ value: Buffer.alloc(TOO_LARGE_BYTES, 0x20) })),
    kind('a transaction without fault', 'applied', (n) => ({ value: good(`good ${n}`) })),
  ]
}

/** Text that nobody can pack. */
const noise = (length: number): string =>
  randomFillSync(Buffer.alloc(Math.ceil((length * 3) / 4)))
    .toString('base64')
    .slice(0, length)
