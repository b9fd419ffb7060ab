/** Schemas change while producers and processors of different ages run: what may change, and what the registry refuses. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { accountValue, transactionValue } from '#connectors/ingest/wire.ts'
import { START_MS } from '#domain/ledger/testing/memory-ledger.ts'
import { REASONS, STATUSES } from '#domain/transactions/outcomes.ts'
import { accountChange, transactionCommand } from '#domain/transactions/testing/fixtures.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { schemaOf } from '#platform/schema-registry/contracts.ts'
import { type AvroSchemaObject, SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { AvroEncoder } from '#platform/schema-registry/serde.ts'
import { ALL_TOPICS, TOPICS, valueSubject } from '#schemas/topics.ts'
import { PipelineFixture } from '../testing/pipeline-fixture.ts'

interface Field {
  name: string
  type: unknown
  default?: unknown
}

const configuration = testConfiguration('evolution')
const subjectOf = (topic: (typeof ALL_TOPICS)[number]): string =>
  valueSubject(configuration.ledger.topicPrefix, topic)
const registry = new SchemaRegistry(configuration.schemaRegistry)

/** Our schema of transactions with other fields. */
const changed = (change: (fields: Field[]) => Field[]): AvroSchemaObject => {
  const schema = structuredClone(schemaOf(TOPICS.transactions))
  return { ...schema, fields: change(schema.fields as Field[]) }
}

const OLDEST_OPTIONAL = ['after', 'metadata', 'uetr', 'parentSource']
let fixture: PipelineFixture
let oldId: number

const oldSchema = changed((fields) => fields.filter(({ name }) => !OLDEST_OPTIONAL.includes(name)))
const oldValue = (id: string): object =>
  Object.fromEntries(Object.entries(valueFor(id)).filter(([name]) => !OLDEST_OPTIONAL.includes(name)))
const valueFor = (id: string): Record<string, unknown> =>
  transactionValue(transactionCommand({ id, occurredAt: START_MS }))

beforeAll(async () => {
  // The producers were there before us, with their schema in the same subject.
  oldId = await registry.register(subjectOf(TOPICS.transactions), oldSchema)
  fixture = await PipelineFixture.create(configuration)
  await fixture.start(['processor'])
  await fixture.applied(
    await fixture.publishValues('accounts', [
      accountValue(accountChange({ accountId: 'alice', limited: false })),
      accountValue(accountChange({ accountId: 'bob' })),
    ]),
  )
})
afterAll(() => fixture.close())

const send = async (value: Buffer): Promise<void> => {
  await fixture.applied(await fixture.publish([{ topic: 'transactions', key: null, value, partition: 0 }]))
}
const outcomes = async (id: string): Promise<string[]> =>
  (await fixture.ledger.history())
    .filter((row) => row.id === id)
    .map(({ kind, status, reason }) => `${kind} ${reason ?? status}`)

describe('a producer', () => {
  it('of before the newest fields is understood, and its record is the same as with them', async () => {
    expect(oldId).not.toBe(fixture.contracts.transactions.id)
    await send(new AvroEncoder<object>(oldSchema, oldId).encode(oldValue('old')))
    expect(await outcomes('old')).toEqual(['post applied'])
    const { schema, id } = fixture.contracts.transactions
    await send(new AvroEncoder<object>(schema, id).encode(valueFor('old')))
    expect(await outcomes('old')).toEqual(['post applied', 'post duplicate'])
  })

  it('of later, with one field more, is understood', async () => {
    const schema = changed((fields) => [
      ...fields,
      { name: 'channel', type: ['null', 'string'], default: null },
      { name: 'priority', type: 'int', default: 0 },
    ])
    const id = await registry.register(subjectOf(TOPICS.transactions), schema)
    await send(
      new AvroEncoder<object>(schema, id).encode({ ...valueFor('new'), channel: 'mobile', priority: 7 }),
    )
    expect(await outcomes('new')).toEqual(['post applied'])
  })

  it('of later, with a kind that we don’t know, gets a rejection that says so', async () => {
    const schema = changed((fields) =>
      fields.map((field) =>
        field.name === 'kind'
          ? {
              ...field,
              type: {
                type: 'enum',
                name: 'TransactionKind',
                symbols: [...(field.type as { symbols: string[] }).symbols, 'refund'],
                default: 'unknown',
              },
            }
          : field,
      ),
    )
    const id = await registry.register(subjectOf(TOPICS.transactions), schema)
    await send(new AvroEncoder<object>(schema, id).encode({ ...valueFor('kind'), kind: 'refund' }))
    const rows = await fixture.ledger.rows(`select kind, status, reason from transactions where id = 'kind'`)
    expect(rows).toEqual([
      { kind: -1, status: STATUSES.indexOf('rejected'), reason: REASONS.indexOf('kind_unknown') },
    ])
  })
})

describe('the registry', () => {
  it.each(ALL_TOPICS.map((topic) => [topic.name, topic] as const))(
    'keeps %s BACKWARD compatible',
    async (_name, topic) => {
      const schema = schemaOf(topic)
      const required = { name: 'newAndRequired', type: 'string' }
      await expect(
        registry.register(subjectOf(topic), { ...schema, fields: [...(schema.fields as Field[]), required] }),
      ).rejects.toMatchObject({ code: 'schema_incompatible' })
      const optional = { ...required, default: '' }
      await expect(
        registry.register(subjectOf(topic), { ...schema, fields: [...(schema.fields as Field[]), optional] }),
      ).resolves.toBeGreaterThan(0)
    },
  )

  it('refuses another type for the amount', async () => {
    const schema = JSON.parse(
      JSON.stringify(schemaOf(TOPICS.transactions)).replace(
        '"name":"amount","type":"long"',
        '"name":"amount","type":"string"',
      ),
    )
    expect(schema).not.toEqual(schemaOf(TOPICS.transactions))
    await expect(registry.register(subjectOf(TOPICS.transactions), schema)).rejects.toMatchObject({
      code: 'schema_incompatible',
    })
  })
})
