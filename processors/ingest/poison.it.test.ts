/** Whatever a producer sends: a dead letter or a decision, and the partition goes on. On the real broker, registry and Postgres. */
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { accountValue, transactionValue } from '#connectors/ingest/wire.ts'
import { START_MS } from '#domain/ledger/testing/memory-ledger.ts'
import type { TransactionCommand } from '#domain/transactions/command.ts'
import {
  accountChange,
  review,
  ruleChange,
  transactionCommand,
} from '#domain/transactions/testing/fixtures.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { CODEC_NUMBERS } from '#platform/kafka/compression.ts'
import { readToEnd, testConsumer } from '#platform/kafka/kafka.fixtures.ts'
import type { OutgoingRecord } from '#platform/kafka/producer.ts'
import { encoderOf } from '#platform/schema-registry/contracts.ts'
import { PipelineFixture } from '../testing/pipeline-fixture.ts'

const CARD_NUMBER = '4111111111111111'

let fixture: PipelineFixture
const encode = (value: unknown): Buffer => encoderOf<unknown>(fixture.contracts.transactions).encode(value)
const command = (id: string, changes: Partial<TransactionCommand> = {}): TransactionCommand =>
  transactionCommand({ id, occurredAt: START_MS, ...changes })
const avro = (id: string, changes: Partial<TransactionCommand> = {}): Buffer =>
  encode(transactionValue(command(id, changes)))

beforeAll(async () => {
  fixture = await PipelineFixture.create(testConfiguration('poison'))
  await fixture.start(['processor', 'publisher'])
  await fixture.applied(
    await fixture.publishValues('accounts', [
      accountValue(accountChange({ accountId: 'alice', limited: false })),
      accountValue(accountChange({ accountId: 'bob' })),
    ]),
  )
})
afterAll(() => fixture.close())

describe('what is said of a record in the log', () => {
  it('names its trace, for dead letters and for conflicting ids', async () => {
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
    const headers = { traceparent: `00-${traceId}-00f067aa0ba902b7-01` }
    const positions = await fixture.publish([
      record(Buffer.from('{nothing'), { headers }),
      record(avro('traced')),
      record(avro('traced', { actor: 'somebody else' }), { headers }),
      record(Buffer.from('{nothing'), { headers: { traceparent: 'nonsense' } }),
    ])
    await fixture.applied(positions)
    const said = fixture.logLines
      .map((line) => JSON.parse(line) as { offset?: string; reason?: string; traceId?: string })
      .filter(({ offset }) => positions.some((position) => String(position.offset) === offset))
    expect(said).toMatchObject([
      { level: 'warn', reason: 'json_invalid', traceId, topic: 'transactions', partition: 0 },
      { reason: 'id_conflict', traceId },
      { reason: 'json_invalid' },
    ])
    expect(said[2]).not.toHaveProperty('traceId')
  })
})

/** A change with its numbers as the longs of Avro. */
const longs = (change: object): object =>
  Object.fromEntries(
    Object.entries(change).map(([name, value]) => [name, typeof value === 'number' ? BigInt(value) : value]),
  )
const record = (value: Buffer | null, more: Partial<OutgoingRecord> = {}): OutgoingRecord => ({
  topic: 'transactions',
  key: null,
  value,
  partition: 0,
  ...more,
})

interface Letter {
  offset: bigint
  first_offset: bigint | null
  reason: string
  detail: string
  value: Buffer | null
  value_bytes: bigint
  value_sha256: Buffer
}
const lettersFrom = (topic: string, offset: bigint): Promise<Letter[]> =>
  fixture.ledger.rows(
    `select "offset", first_offset, reason, detail, value, value_bytes, value_sha256 from dead_letters
     where topic = $1 and "offset" >= $2 order by "offset"`,
    [topic, String(offset)],
  )
const statusOf = async (id: string): Promise<string[]> => {
  const history = await fixture.ledger.history()
  return history.filter((row) => row.id === id).map(({ status, reason }) => reason ?? status)
}

let probes = 0
/** Publishes records and a good one behind them; all must be applied, the good one with success. @returns the dead letters */
const sendBefore = async (records: readonly OutgoingRecord[]): Promise<Letter[]> => {
  probes += 1
  const id = `probe-${probes}`
  const positions = await fixture.publish([...records, record(avro(id))])
  await fixture.applied(positions)
  expect(await statusOf(id)).toEqual(['applied'])
  return lettersFrom('transactions', positions[0]!.offset)
}

/** The wire header of a schema id. */
const header = (id: number): Buffer => {
  const bytes = Buffer.alloc(5)
  bytes.writeInt32BE(id, 1)
  return bytes
}
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))
const flat = (id: string, more: object = {}) => ({
  id,
  source: 'bank',
  from: 'alice',
  to: 'bob',
  amount: 1,
  currency: 'EUR',
  actor: 'tester',
  occurredAt: START_MS,
  ...more,
})

describe('a record that can’t be read', () => {
  const own = () => fixture.contracts.transactions.id
  const cases: readonly [string, string, () => OutgoingRecord][] = [
    ['without a value', 'empty_record', () => record(null)],
    ['with an empty value', 'empty_record', () => record(Buffer.alloc(0))],
    ['of random bytes', 'encoding_invalid', () => record(createHash('sha512').update('noise').digest())],
    ['with a schema id that nobody knows', 'schema_unknown', () => record(header(2_000_000_000))],
    [
      'of the schema of another topic',
      'schema_incompatible',
      () => record(Buffer.concat([header(fixture.contracts.ticks.id), Buffer.alloc(20)])),
    ],
    ['cut off', 'avro_invalid', () => record(avro('cut').subarray(0, 40))],
    [
      'with bytes behind its end',
      'avro_invalid',
      () => record(Buffer.concat([avro('long'), Buffer.from([1])])),
    ],
    [
      'whose array claims a billion elements',
      'avro_invalid',
      () =>
        record(
          // id "x", source "", kind 0, then a block of 10^9 postings: zigzag varint.
          Buffer.concat([header(own()), Buffer.from([2, 0x78, 0, 0, 0x80, 0xa8, 0xd6, 0xb9, 0x07])]),
        ),
    ],
    ['that is no JSON', 'json_invalid', () => record(Buffer.from('{"id": '))],
    ['in bad UTF-8', 'encoding_invalid', () => record(Buffer.from([0x7b, 0x22, 0xc3, 0x28, 0x22, 0x7d]))],
    ['of deep JSON', 'json_too_deep', () => record(Buffer.from('['.repeat(100_000)))],
    ['with a misspelt field', 'schema_mismatch', () => record(json(flat('m', { amout: 1 })))],
    ['with an amount that isn’t exact', 'schema_mismatch', () => record(json(flat('a', { amount: 1.005 })))],
    ['with NUL in a name', 'encoding_invalid', () => record(json(flat('n', { actor: 'a\0b' })))],
    [
      'with half a character',
      'encoding_invalid',
      () => record(Buffer.from(JSON.stringify(flat('h')).replace('tester', '\\ud800'))),
    ],
    ['with NUL in Avro', 'encoding_invalid', () => record(avro('z', { endToEndId: 'a\0b' }))],
    [
      'of a time that can’t be stored',
      'schema_mismatch',
      () => record(encode({ ...transactionValue(command('t')), occurredAt: 2n ** 62n })),
    ],
    [
      'of a content type that we don’t read',
      'content_type_unknown',
      () => record(json(flat('x')), { headers: { 'content-type': 'text/xml' } }),
    ],
  ]

  it.each(cases)('%s is a dead letter (%s), and the partition goes on', async (_label, reason, make) => {
    const sent = make()
    const letters = await sendBefore([sent])
    expect(letters.map((letter) => letter.reason)).toEqual([reason])
    const bytes = sent.value ?? Buffer.alloc(0)
    expect(Number(letters[0]!.value_bytes)).toBe(bytes.length)
    expect(letters[0]!.value_sha256).toEqual(createHash('sha256').update(bytes).digest())
  })

  it('leaves no card number behind, and is cut; its length and hash are kept', async () => {
    const long = Buffer.from(`{"pan":"${CARD_NUMBER}", ${' '.repeat(100_000)}`)
    const [letter] = await sendBefore([record(long, { key: CARD_NUMBER })])
    expect(letter!.value!.length).toBe(16 * 1024)
    expect(letter!.value!.toString()).toContain('************1111')
    expect(Number(letter!.value_bytes)).toBe(long.length)
    const rows = await fixture.ledger.rows<{ row: string }>(
      `select concat(encode(key, 'escape'), encode(value, 'escape'), detail) as row from dead_letters`,
    )
    expect(rows.filter(({ row }) => row.includes(CARD_NUMBER))).toEqual([])
  })

  it('on every other topic is a dead letter too, and those go on', async () => {
    for (const topic of ['accounts', 'cards', 'reviews', 'fraud.labels', 'rules', 'commands', 'ticks']) {
      const positions = await fixture.publish([record(Buffer.from('{'), { topic }), record(null, { topic })])
      await fixture.applied(positions)
      const letters = await lettersFrom(topic, positions[0]!.offset)
      expect([topic, ...letters.map(({ reason }) => reason)]).toEqual([topic, 'json_invalid', 'empty_record'])
    }
  })

  it('appears once on the dead-letter topic, by its position', async () => {
    await fixture.published()
    const consumer = testConsumer([fixture.topic('transactions.dlq')])
    await consumer.consumer.start()
    const [stored] = await fixture.ledger.rows<{ count: bigint }>('select count(*) from dead_letters')
    const records = await readToEnd(consumer, fixture.topic('transactions.dlq'))
    await consumer.consumer.stop()
    expect(records.length).toBe(Number(stored!.count))
    expect(new Set(records.map(({ key }) => String(key))).size).toBe(records.length)
    expect(records.some(({ value }) => value!.includes(CARD_NUMBER))).toBe(false)
  })
})

describe('a batch that nobody can unpack', () => {
  // Snappy can't: its best ratio of 21 doesn't get 64 MiB into what a broker takes. It is tested with the decoder.
  it.each(['gzip', 'lz4', 'zstd'] as const)(
    'of %s is one dead letter for all of its offsets, and the partition goes on',
    async (codec) => {
      const producer = fixture.kafka.producer()
      await producer.connect()
      const count = 66
      const value = Buffer.alloc(1024 * 1024)
      const sent = await producer.send({
        topic: fixture.topic('transactions'),
        compression: CODEC_NUMBERS[codec],
        messages: Array.from({ length: count }, () => ({ value, partition: 0 })),
      })
      await producer.disconnect()
      const first = BigInt(sent[0]!.baseOffset!)
      expect(await sendBefore([])).toEqual([])
      const letters = await lettersFrom('transactions', first)
      const last = first + BigInt(count) - 1n
      expect(letters).toMatchObject([{ reason: 'batch_too_large', first_offset: first, offset: last }])
      expect(letters[0]!.detail).toContain(`offsets ${first} to ${last}`)
      expect(letters[0]!.value!.length).toBe(61)
      expect(Number(letters[0]!.value_bytes)).toBeGreaterThan(1_000)
    },
  )

  it('is passed once only: the next owner reads it again and has nothing to do', async () => {
    const before = await lettersFrom('transactions', 0n)
    await fixture.stop()
    await fixture.start(['processor', 'publisher'])
    expect(await sendBefore([])).toEqual([])
    expect((await lettersFrom('transactions', 0n)).length).toBe(before.length)
    expect(fixture.incidents).toEqual([])
  })
})

describe('a record with a card number inside', () => {
  it.each([
    ['as the token', { card: CARD_NUMBER }],
    ['in its id', {}],
    ['in its metadata', { metadata: { note: `paid with ${CARD_NUMBER}` } }],
  ] as const)('%s is refused and leaves nothing of it', async (label, changes) => {
    const id = label === 'in its id' ? CARD_NUMBER : `card-${label.length}`
    await sendBefore([record(avro(id, changes))])
    const rows = await fixture.ledger.rows(
      `select 1 from transactions t where t::text like '%' || $1 || '%' union all
       select 1 from holds h where h::text like '%' || $1 || '%'`,
      [CARD_NUMBER],
    )
    expect(rows).toEqual([])
    expect((await fixture.ledger.history()).map(({ reason }) => reason)).toContain('card_number_refused')
    for (const batch of await fixture.ledger.batches()) {
      expect(batch.payload.includes(CARD_NUMBER), `batch ${batch.sequence}`).toBe(false)
    }
  })

  it('on the other topics is refused and leaves nothing of it', async () => {
    const positions = [
      ...(await fixture.publishValues('accounts', [
        accountValue(accountChange({ accountId: `card:${CARD_NUMBER}` })),
      ])),
      ...(await fixture.publishValues('rules', [longs(ruleChange({ ruleId: CARD_NUMBER }))])),
      ...(await fixture.publishValues('reviews', [
        longs(review({ transactionId: CARD_NUMBER })),
        longs(review({ transactionId: 'x'.repeat(70_000) })),
      ])),
    ]
    await fixture.applied(positions)
    for (const batch of await fixture.ledger.batches()) {
      expect(batch.payload.includes(CARD_NUMBER), `batch ${batch.sequence}`).toBe(false)
    }
    expect(await sendBefore([])).toEqual([])
  })
})

describe('the forms of a record', () => {
  it('keep what has a name of the prototype, up to what is published', async () => {
    const metadata = { constructor: 'a', toString: 'b', valueOf: 'c' }
    expect(
      await sendBefore([record(avro('names', { metadata })), record(json(flat('names', { metadata })))]),
    ).toEqual([])
    await fixture.published()
    const topic = testConsumer([fixture.topic('transactions.processed')])
    await topic.consumer.start()
    const records = await readToEnd(topic, fixture.topic('transactions.processed'))
    await topic.consumer.stop()
    const values = records.map(({ value }) => value)
    const decided = await fixture.decode<{ id: string; metadata: object; status: string }>(
      'processed',
      values,
    )
    const ours = decided.filter(({ id }) => id === 'names')
    expect(ours.map(({ status }) => status)).toEqual(['applied', 'duplicate'])
    for (const one of ours) expect(Object.entries(one.metadata).toSorted()).toEqual(Object.entries(metadata))
  })

  it('give the same decision: Avro, JSON with and without its content type, the flat form', async () => {
    const amount = { postings: [{ debit: 'alice', credit: 'bob', amount: 12_345n, currency: 'EUR' }] }
    const posted = (id: string) => ({
      id,
      source: 'bank',
      postings: [{ debit: 'alice', credit: 'bob', amount: 12_345, currency: 'EUR' }],
      actor: 'tester',
      occurredAt: START_MS,
    })
    const typed = { headers: { 'content-type': 'application/json; charset=utf-8' } }
    // Each form of one id after the Avro form: the same content, so a duplicate and never a conflict.
    await sendBefore([
      record(avro('same', amount)),
      record(json(posted('same')), typed),
      record(json(posted('same'))),
      record(json(flat('same', { amount: 123.45 }))),
      record(json(flat('same', { amount: '123.45' })), typed),
    ])
    expect(await statusOf('same')).toEqual(['applied', 'duplicate', 'duplicate', 'duplicate', 'duplicate'])
    await sendBefore([
      record(avro('form-1', amount)),
      record(json(posted('form-2')), typed),
      record(json(flat('form-3', { amount: 123.45 }))),
    ])
    const rows = await fixture.ledger.rows<{ amount: bigint; status: string }>(
      `select p.amount from transactions t join postings p using (sequence, index) where t.id like 'form-%' order by t.id`,
    )
    expect(rows).toEqual([{ amount: 12_345n }, { amount: 12_345n }, { amount: 12_345n }])
  })
})
