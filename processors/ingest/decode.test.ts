/** Decoding: both forms give the same command, every malformed record a dead letter that keeps no card number, and nothing else is thrown. */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import type { LedgerInput, TransactionInput, UnreadableInput } from '#domain/ledger/inputs.ts'
import { transactionKey } from '#domain/transactions/canonical.ts'
import { OperatingError } from '#platform/errors.ts'
import { schemaOf } from '#platform/schema-registry/contracts.ts'
import type { AvroSchemaObject } from '#platform/schema-registry/registry.ts'
import { AvroEncoder } from '#platform/schema-registry/serde.ts'
import { TOPICS } from '#schemas/topics.ts'
import { decodeRecord, makeIngestCodecs, prepareSchemas } from './decode.ts'
import { INGEST_TOPIC_NAMES, type IngestTopicName } from './inputs.ts'
import type { RawRecord } from './unreadable.ts'

const AT = 1_767_225_600_000
const CARD_NUMBER = '4111111111111111'
const UNKNOWN_ID = 99
const FOREIGN_ID = 98

const schemas = Object.fromEntries(
  INGEST_TOPIC_NAMES.map((name) => [name, { schema: schemaOf(TOPICS[name]) }]),
) as {
  [name in IngestTopicName]: { schema: AvroSchemaObject }
}
const ids = new Map<number, AvroSchemaObject>(
  INGEST_TOPIC_NAMES.map((name, place) => [place + 1, schemas[name].schema]),
)
ids.set(FOREIGN_ID, { type: 'record', name: 'Other', fields: [{ name: 'x', type: 'string' }] })
const registry = {
  async schema(id: number): Promise<AvroSchemaObject> {
    const schema = ids.get(id)
    if (schema === undefined) throw new OperatingError('schema_unknown', `no schema ${id}`)
    return schema
  },
}
const codecs = makeIngestCodecs(registry, schemas)
beforeAll(async () => {
  for (const [place, topic] of INGEST_TOPIC_NAMES.entries())
    await prepareSchemas(codecs, topic, [
      { value: Buffer.from([0, 0, 0, 0, place + 1]) },
      { value: Buffer.from([0, 0, 0, 0, UNKNOWN_ID]) },
      { value: Buffer.from([0, 0, 0, 0, FOREIGN_ID]) },
      { value: null },
    ])
})

const raw = (value: Buffer | string | null, changes: Partial<RawRecord> = {}): RawRecord => ({
  topic: 'transactions',
  partition: 3,
  offset: 7n,
  timestampMs: AT,
  key: null,
  value: typeof value === 'string' ? Buffer.from(value) : value,
  headers: undefined,
  ...changes,
})
const decode = (value: Buffer | string | null, changes: Partial<RawRecord> = {}): LedgerInput =>
  decodeRecord(raw(value, changes), codecs)
const json = (value: unknown, topic: IngestTopicName = 'transactions'): LedgerInput =>
  decode(JSON.stringify(value), { topic })
const transaction = (value: unknown): TransactionInput => {
  const input = json(value)
  expect(input.type === 'dead' ? input.letter.detail : input.type).toBe('transaction')
  return input as TransactionInput
}
const letterOf = (input: LedgerInput): UnreadableInput['letter'] => {
  expect(input.type).toBe('dead')
  return (input as UnreadableInput).letter
}
const avro = (topic: IngestTopicName, value: object): Buffer =>
  new AvroEncoder<object>(schemas[topic].schema, INGEST_TOPIC_NAMES.indexOf(topic) + 1).encode(value)

const postings = [{ debit: 'alice', credit: 'bob', amount: 1275n, currency: 'EUR' }]
const avroTransaction = {
  id: 't1',
  source: 'bank',
  kind: 'post',
  postings,
  parentId: null,
  parentSource: null,
  card: 'tok_1',
  merchant: null,
  terminal: null,
  device: null,
  country: 'DE',
  endToEndId: null,
  uetr: null,
  valueTime: BigInt(AT - 1),
  occurredAt: BigInt(AT),
  expiresAt: null,
  actor: 'me',
  metadata: { note: 'ü' },
  after: { topic: 'accounts', partition: 0, offset: 5n },
}
const jsonTransaction = {
  id: 't1',
  source: 'bank',
  kind: 'post',
  postings: [{ debit: 'alice', credit: 'bob', amount: 1275, currency: 'EUR' }],
  card: 'tok_1',
  country: 'DE',
  valueTime: AT - 1,
  occurredAt: AT,
  actor: 'me',
  metadata: { note: 'ü' },
  after: { topic: 'accounts', partition: 0, offset: '5' },
}

test('Avro, JSON postings and the flat form give the same input', () => {
  const expected = decode(avro('transactions', avroTransaction)) as TransactionInput
  expect(expected).toMatchObject({ type: 'transaction', topic: 'transactions', partition: 3, offset: 7n })
  expect(expected.command).toEqual({ ...avroTransaction, valueTime: AT - 1, occurredAt: AT })
  expect(expected.key).toBe(transactionKey('bank', 't1'))
  expect(transaction(jsonTransaction)).toEqual(expected)
  expect(
    transaction({ ...jsonTransaction, postings: [{ ...jsonTransaction.postings[0], amount: '1275' }] }),
  ).toEqual(expected)
  const { postings: _, ...common } = jsonTransaction
  for (const amount of [12.75, '12.75'])
    expect(transaction({ ...common, from: 'alice', to: 'bob', amount, currency: 'EUR' })).toEqual(expected)
  expect(transaction({ ...jsonTransaction, occurredAt: '2026-01-01T01:00:00.000+01:00' })).toEqual(expected)
})

test('JSON defaults: source, kind, actor, times; null means absent', () => {
  const { command } = transaction({ id: 't', from: 1, to: 2, amount: 100, currency: 'USD', source: null })
  expect(command).toMatchObject({
    source: '',
    kind: 'post',
    actor: '',
    occurredAt: AT,
    parentId: null,
    metadata: {},
  })
  expect(command.postings).toEqual([{ debit: '1', credit: '2', amount: 10_000n, currency: 'USD' }])
  expect(transaction({ id: 't', kind: 'void', parentId: 'p' }).command.postings).toEqual([])
  expect(transaction({ id: 't', kind: 'barter' }).command.kind).toBe('unknown')
})

test('sent again without its event time, a record is the same though it arrives later; given, the time counts', () => {
  const value = JSON.stringify({ id: 't', from: 'a', to: 'b', amount: 1, currency: 'EUR' })
  const first = decode(value, { timestampMs: AT }) as TransactionInput
  const again = decode(value, { timestampMs: AT + 1 }) as TransactionInput
  expect(again.command.occurredAt).toBe(AT + 1)
  expect(again.content).toBe(first.content)
  expect(transaction({ ...jsonTransaction, occurredAt: AT + 1 }).content).not.toBe(
    transaction(jsonTransaction).content,
  )
})

test('amounts: major units by the exponent of the currency, minor units exactly', () => {
  const flat = (amount: unknown, currency: string) => json({ id: 't', from: 'a', to: 'b', amount, currency })
  const amountOf = (input: LedgerInput) => (input as TransactionInput).command.postings[0]!.amount
  expect(amountOf(flat(1000, 'JPY'))).toBe(1000n)
  expect(amountOf(flat('1.234', 'KWD'))).toBe(1234n)
  // An unknown currency and a wrong sign are for validation, with an id consumed.
  expect(amountOf(flat(-5, 'EUR'))).toBe(-500n)
  expect(amountOf(flat(5, 'DEM'))).toBeGreaterThan(0n)
  for (const [amount, currency] of [
    [1.005, 'USD'],
    [0.5, 'JPY'],
    ['1e2', 'USD'],
    ['', 'USD'],
    [null, 'USD'],
    [true, 'USD'],
  ])
    expect(letterOf(flat(amount, currency as string)).reason).toBe('schema_mismatch')
  const minor = (amount: unknown) =>
    json({ id: 't', postings: [{ debit: 'a', credit: 'b', amount, currency: 'EUR' }] })
  expect(amountOf(minor('9223372036854775807'))).toBe(2n ** 63n - 1n)
  for (const amount of [1.5, 2 ** 53, '1.5', '9223372036854775808', '', 'x', null])
    expect(letterOf(minor(amount)).reason).toBe('schema_mismatch')
})

test.each([
  [{ ...jsonTransaction, amuont: 1 }, 'amuont'],
  [{ ...jsonTransaction, postings: [{ ...jsonTransaction.postings[0], fee: 1 }] }, 'postings[0].fee'],
  [{ ...jsonTransaction, id: 5 }, 'id'],
  [{ ...jsonTransaction, id: undefined }, 'id'],
  [{ ...jsonTransaction, metadata: { a: 1 } }, 'metadata.a'],
  [{ ...jsonTransaction, from: 'a' }, 'postings'],
  [{ ...jsonTransaction, valueTime: 'yesterday' }, 'valueTime'],
  [{ ...jsonTransaction, valueTime: '2026-02-30T00:00:00Z' }, 'valueTime'],
  [{ ...jsonTransaction, occurredAt: 253_402_300_800_000 }, 'occurredAt'],
  [{ ...jsonTransaction, after: { topic: 'a', partition: -1, offset: 1 } }, 'after.partition'],
  // What Postgres could not store in a hold, and what must not be stored.
  [{ ...jsonTransaction, after: { topic: '\0', partition: 0, offset: 1 } }, 'after.topic'],
  [{ ...jsonTransaction, after: { topic: CARD_NUMBER, partition: 0, offset: 1 } }, 'after.topic'],
  [[], 'the record'],
  ['text', 'the record'],
])('a record that does not fit is refused with the path of the field (%#)', (value, path) => {
  const letter = letterOf(json(value))
  expect(letter.reason).toBe('schema_mismatch')
  expect(letter.detail.startsWith(`${path}:`)).toBe(true)
})

test('names of the prototype are no fields, and do no harm', () => {
  for (const name of ['__proto__', 'constructor', 'toString'])
    expect(letterOf(decode(`{"id":"t","${name}":{"kind":"void"}}`)).reason).toBe('schema_mismatch')
  expect(letterOf(decode('{"id":"t","metadata":{"__proto__":"x"}}')).reason).toBe('schema_mismatch')
  expect(({} as Record<string, unknown>).kind).toBeUndefined()
})

test('a tick beyond the broker’s own time is refused: time never goes back', () => {
  const tickAt = (time: number) => json({ time, ends: [], actor: 'ticker' }, 'ticks')
  expect(tickAt(AT + 300_000)).toMatchObject({ type: 'tick', tick: { time: AT + 300_000 } })
  expect(tickAt(AT - 10_000_000).type).toBe('tick')
  expect(letterOf(tickAt(AT + 300_001)).reason).toBe('tick_ahead')
})

test('metadata keeps the names of the prototype, or the record is refused: none is lost', () => {
  const metadata = { constructor: 'a', toString: 'b', hasOwnProperty: 'c', valueOf: 'd' }
  const inputs = [
    transaction({ ...jsonTransaction, metadata }),
    decode(avro('transactions', { ...avroTransaction, metadata })) as TransactionInput,
  ]
  for (const { command } of inputs) expect(Object.entries(command.metadata)).toEqual(Object.entries(metadata))
  expect(inputs[0]!.content).toBe(inputs[1]!.content)
  const named = { ...avroTransaction, metadata: { __photo__: 'x' } }
  const lost = Buffer.from(
    avro('transactions', named).toString('latin1').replace('__photo__', '__proto__'),
    'latin1',
  )
  expect(letterOf(decode(lost)).reason).toBe('avro_invalid')
})

const flat = (amount: string) => `{"id":"t","from":"a","to":"b","amount":${amount},"currency":"EUR"}`
const deep = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`
test.each([
  ['no value', null, 'empty_record'],
  ['no bytes', '', 'empty_record'],
  ['no JSON', '{"id":', 'json_invalid'],
  ['two values', '{} {}', 'json_invalid'],
  ['a name twice', `${flat('1').slice(0, -1)},"amount":1000}`, 'json_invalid'],
  ['an amount that a double rounds', flat('12.749999999999999999'), 'schema_mismatch'],
  ['an integer that a double rounds', flat('9007199254740991.4'), 'schema_mismatch'],
  ['too deep', deep(33), 'json_too_deep'],
  ['not too deep', deep(32), 'schema_mismatch'],
  ['brackets in text', JSON.stringify('['.repeat(100)), 'schema_mismatch'],
  ['bad UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), 'encoding_invalid'],
  ['NUL in text', '{"id":"a\\u0000","kind":"void"}', 'encoding_invalid'],
  ['half a surrogate pair', '{"id":"t","kind":"void","actor":"\\ud800"}', 'encoding_invalid'],
  ['too large', Buffer.alloc(1024 * 1024 + 1, 32), 'too_large'],
  ['Avro cut', Buffer.from([0, 0, 0, 0, 1, 4]), 'avro_invalid'],
  ['Avro without id', Buffer.from([0, 0]), 'avro_invalid'],
  ['unknown schema', Buffer.from([0, 0, 0, 0, UNKNOWN_ID, 1]), 'schema_unknown'],
  ['other schema', Buffer.from([0, 0, 0, 0, FOREIGN_ID, 2, 65]), 'schema_incompatible'],
] as const)('%s', (_name, value, reason) => {
  expect(letterOf(decode(value)).reason).toBe(reason)
})

test('Avro with NUL or a time that cannot be stored is refused, not thrown', () => {
  const refused = (changes: object) =>
    letterOf(decode(avro('transactions', { ...avroTransaction, ...changes }))).reason
  expect(refused({ id: 'a\0' })).toBe('encoding_invalid')
  expect(refused({ metadata: { 'a\0': '' } })).toBe('encoding_invalid')
  expect(refused({ postings: [{ ...postings[0]!, credit: '\0' }] })).toBe('encoding_invalid')
  expect(refused({ occurredAt: 2n ** 62n })).toBe('schema_mismatch')
  expect(refused({ expiresAt: -(2n ** 62n) })).toBe('schema_mismatch')
})

test('the content type decides where it is given', () => {
  const headers = (type: string) => ({ 'content-type': Buffer.from(type) })
  const bytes = avro('transactions', avroTransaction)
  expect(
    decode(JSON.stringify(jsonTransaction), { headers: headers('Application/JSON; charset=utf-8') }).type,
  ).toBe('transaction')
  expect(decode(bytes, { headers: headers('application/vnd.apache.avro+binary') }).type).toBe('transaction')
  expect(letterOf(decode(bytes, { headers: headers('application/json') })).reason).toBe('encoding_invalid')
  expect(letterOf(decode('{}', { headers: headers('avro/binary') })).reason).toBe('avro_invalid')
  const letter = letterOf(decode('{}', { headers: headers('text/plain') }))
  expect([letter.reason, letter.contentType]).toEqual(['content_type_unknown', 'text/plain'])
})

test('a dead letter keeps hash and length of the whole, 16 KiB of it, and no card number anywhere', () => {
  const value = Buffer.from(
    `{"${CARD_NUMBER}":"${'x'.repeat(16 * 1024 - 40)} ${CARD_NUMBER} ${CARD_NUMBER}"}`,
  )
  const letter = letterOf(decode(value, { key: Buffer.from(`k${CARD_NUMBER}`) }))
  expect(letter.reason).toBe('schema_mismatch')
  expect(letter.valueBytes).toBe(value.length)
  expect(letter.valueSha256).toEqual(createHash('sha256').update(value).digest())
  expect(letter.value).toHaveLength(16 * 1024)
  // The cut goes through the second number.
  const text = `${letter.detail} ${letter.value} ${letter.key}`
  expect(text).toContain('************1111')
  expect(text).not.toContain('41111')
})

test('reference data, rules, reviews and ticks in both forms', () => {
  const both = (topic: IngestTopicName, avroValue: object, jsonValue: object): LedgerInput => {
    const input = decode(avro(topic, avroValue), { topic })
    expect(json(jsonValue, topic)).toEqual(input)
    return input
  }
  const stamp = { actor: 'me', occurredAt: AT }
  const avroStamp = { actor: 'me', occurredAt: BigInt(AT) }
  const account = {
    action: 'open',
    accountId: '1',
    currency: 'EUR',
    accountClass: 'customer',
    normalSide: 'credit',
    limited: true,
    reversalMayOverdraw: false,
  }
  expect(
    both(
      'accounts',
      { ...account, ...avroStamp, overdraftLimit: 5n },
      { action: 'open', accountId: 1, currency: 'EUR', overdraftLimit: 5, ...stamp },
    ),
  ).toMatchObject({ type: 'account', change: { ...account, ...stamp, overdraftLimit: 5n } })
  const card = { action: 'issue', card: 'tok', accountId: 'a' }
  expect(
    both(
      'cards',
      { ...card, ...avroStamp, expiresAt: BigInt(AT), transactionLimit: 1n, dailyLimit: null },
      { ...card, ...stamp, expiresAt: AT, transactionLimit: 1 },
    ),
  ).toMatchObject({
    type: 'card',
    change: { ...card, expiresAt: AT, transactionLimit: 1n, dailyLimit: null },
  })
  const review = { transactionId: 't', source: 's', decision: 'release', reason: 'ok' }
  expect(both('reviews', { ...review, ...avroStamp }, { ...review, ...stamp })).toMatchObject({
    type: 'review',
    key: transactionKey('s', 't'),
    review: { ...review, ...stamp },
  })
  const label = { transactionId: 't', source: 's', verdict: 'fraud', reason: 'chargeback' }
  expect(both('fraud.labels', { ...label, ...avroStamp }, { ...label, ...stamp })).toMatchObject({
    type: 'label',
    key: transactionKey('s', 't'),
    label: { ...label, ...stamp },
  })
  const rule = { ruleId: 'r', type: 'velocity_sum', currency: 'EUR', action: 'hold', enabled: true }
  expect(
    both(
      'rules',
      { ...rule, ...avroStamp, threshold: 9n, windowMs: 3_600_000n },
      { ...rule, ...stamp, threshold: 9, windowMs: 3_600_000 },
    ),
  ).toMatchObject({ type: 'rule', change: { ...rule, threshold: 9n, windowMs: 3_600_000 } })
  const ends = [{ topic: 'transactions', partition: 1, end: 4n }]
  expect(
    both(
      'ticks',
      { time: BigInt(AT), ends: [...ends, { topic: 'elsewhere', partition: 0, end: 1n }], actor: 'me' },
      { time: AT, ends: [{ topic: 'transactions', partition: 1, end: 4 }], actor: 'me' },
    ),
  ).toMatchObject({ type: 'tick', tick: { time: AT, ends } })
})

test('words that are stored as they are must be of their list; actions may be newer than this code', () => {
  const open = { action: 'open', accountId: 'a', currency: 'EUR' }
  expect(letterOf(json({ ...open, normalSide: 'left' }, 'accounts')).reason).toBe('schema_mismatch')
  expect(letterOf(json({ ...open, accountClass: 'secret' }, 'accounts')).reason).toBe('schema_mismatch')
  expect(json({ ...open, action: 'rename' }, 'accounts')).toMatchObject({ change: { action: 'unknown' } })
})

test('whatever comes, it is an input or a dead letter', () => {
  const base = avro('transactions', avroTransaction)
  const damaged = fc
    .tuple(fc.nat(base.length - 1), fc.nat(255), fc.nat(base.length))
    .map(([at, byte, length]) => {
      const bytes = Buffer.from(base)
      bytes[at] = byte
      return bytes.subarray(0, Math.max(5, length))
    })
    .map((bytes) =>
      bytes[0] === 0 ? Buffer.concat([Buffer.from([0, 0, 0, 0, 1]), bytes.subarray(5)]) : bytes,
    )
  const anything = fc.oneof(
    damaged,
    fc.json().map((text) => Buffer.from(text)),
    fc.uint8Array({ minLength: 1 }).map((a) => Buffer.concat([Buffer.from('{'), a])),
  )
  fc.assert(
    fc.property(anything, fc.constantFrom(...INGEST_TOPIC_NAMES), (value, topic) => {
      const forTopic = value[0] === 0 ? 'transactions' : topic
      const input = decode(value, { topic: forTopic })
      expect([input.topic, input.partition, input.offset]).toEqual([forTopic, 3, 7n])
    }),
    { numRuns: 1000 },
  )
})

test('a batch that nobody can read leaves its header only: what is compressed could hold card numbers', () => {
  const batch = Buffer.concat([Buffer.alloc(61, 1), Buffer.from(CARD_NUMBER.repeat(100))])
  const unreadable = { code: 'batch_too_large', detail: 'offsets 3 to 7', firstOffset: 3n } as const
  const input = decode(batch, { unreadable, timestampMs: -1 })
  expect(input).toMatchObject({ type: 'dead', offset: 7n })
  const letter = letterOf(input)
  expect(letter).toMatchObject({ reason: 'batch_too_large', detail: 'offsets 3 to 7', firstOffset: 3n })
  expect(letter.value).toEqual(Buffer.alloc(61, 1))
  expect(letter.valueBytes).toBe(batch.length)
  expect(letter.valueSha256).toEqual(createHash('sha256').update(batch).digest())
})
