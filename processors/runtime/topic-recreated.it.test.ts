/** A topic that was deleted and made anew bears the same name: the last applied record tells, and who reads it then reads by its id. */
import { afterEach, expect, it } from 'vitest'
import { accountValue, transactionValue } from '#connectors/ingest/wire.ts'
import { accountChange, transactionCommand } from '#domain/transactions/testing/fixtures.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { type TopicKey, TOPICS, topicConfiguration } from '#schemas/topics.ts'
import { PipelineFixture } from '../testing/pipeline-fixture.ts'

const startedMs = Date.now()
let fixture: PipelineFixture
afterEach(() => fixture.close())

const payment = (id: string) => transactionValue(transactionCommand({ id, occurredAt: startedMs }))
const payments = (label: string, count: number) =>
  Array.from({ length: count }, (_, n) => payment(`${label}${n}`))

const incidentNoted = async (): Promise<string | null> => {
  const [row] = await fixture.ledger.rows<{ code: string | null }>(
    `select incident->>'code' as code from ingest_offsets where topic = 'transactions' and partition = 0`,
  )
  return row!.code
}

/** The partitions that an incident with the code was told of, in order. */
const stopped = (wanted: string): string[] =>
  fixture.incidents
    .filter(({ code }) => code === wanted)
    .map(({ message }) => message.split(': ')[0]!)
    .sort()

const applied = async () => (await fixture.ledger.history()).map(({ id }) => id)

/** Deletes a topic and makes it again, as soon as the broker lets one. */
const makeAnew = async (topic: (typeof TOPICS)[TopicKey] = TOPICS.transactions) => {
  const { partitions } = topic
  const name = fixture.topic(topic.name)
  await fixture.admin.deleteTopics([name])
  const config = topicConfiguration(topic)
  const make = () => fixture.admin.ensureTopics([{ name, partitions, replication: 1, config }])
  const isMade = () =>
    make().then(
      () => true,
      () => false,
    )
  await expect.poll(isMade, { timeout: 15_000, interval: 20 }).toBe(true)
}

/** An operator's command, until it is applied. */
const command = async (kind: string, subject: string, parameters: { from: string; to: string }) => {
  const value = {
    id: 'command',
    kind,
    subject,
    parameters,
    actor: 'operator',
    reason: 'the topic was made anew',
  }
  await fixture.applied(await fixture.publishValues('commands', [{ ...value, occurredAt: null }]))
}

const begin = async (label: string) => {
  fixture = await PipelineFixture.create(testConfiguration(label), startedMs)
  await fixture.start(['processor'])
  await fixture.applied(
    await fixture.publishValues('accounts', [
      accountValue(accountChange({ accountId: 'alice', limited: false })),
      accountValue(accountChange({ accountId: 'bob' })),
    ]),
  )
  await fixture.applied(await fixture.publishValues('transactions', payments('old', 5)))
  await fixture.stop()
}

it('a log that holds another record where the last applied one was is an incident, and nothing of it is applied', async () => {
  await begin('recreated')
  await makeAnew()
  // Longer than the old one, so that the position itself is within the log.
  await fixture.publishValues('transactions', payments('new', 9))
  await fixture.start(['processor'])
  await expect
    .poll(() => stopped('topic_recreated'), { timeout: 15_000 })
    .toEqual(Array.from({ length: TOPICS.transactions.partitions }, (_, p) => `transactions:${p}`))
  // The other topics go on.
  await fixture.applied(
    await fixture
      .publishValues('accounts', [accountValue(accountChange({ accountId: 'carol' }))])
      .then((positions) => {
        fixture.incidents.length = 0
        return positions
      }),
  )
  expect(await applied()).toEqual(['old0', 'old1', 'old2', 'old3', 'old4'])
  expect(await incidentNoted()).toBe('topic_recreated')

  // Looked at again and again, it stays as it is; once an operator has moved its position, it goes on without a restart.
  await command('partition.move', 'transactions:0', { from: '5', to: '0' })
  await expect.poll(applied, { timeout: 30_000 }).toContain('new8')
  expect(await applied()).toEqual([...payments('old', 5), ...payments('new', 9)].map(({ id }) => id))
  expect(await incidentNoted()).toBeNull()
  // What was told once isn't told again.
  expect(fixture.incidents).toEqual([])
})

it('a partition without an applied record is not read on in a topic that was made anew, until an operator moves it', async () => {
  await begin('recreated_unread')
  await makeAnew()
  await fixture.publishValues('transactions', payments('other', 3), 1)
  await fixture.start(['processor'])
  await expect.poll(() => stopped('topic_recreated'), { timeout: 15_000 }).toContain('transactions:1')
  const before = await applied()
  expect(before).toEqual(['old0', 'old1', 'old2', 'old3', 'old4'])

  fixture.incidents.length = 0
  await command('partition.move', 'transactions:1', { from: '0', to: '0' })
  await expect.poll(applied, { timeout: 30_000 }).toEqual([...before, 'other0', 'other1', 'other2'])
})

it('commands are taken from a topic that was made anew where none was ever applied: there is no other way out', async () => {
  await begin('recreated_commands')
  await makeAnew(TOPICS.commands)
  await fixture.start(['processor'])
  await command('partition.skip', 'transactions:0', { from: '5', to: '6' })
  expect(fixture.incidents).toEqual([])
})

it('a log that is made anew while it is read is an incident, and nothing of it is applied', async () => {
  await begin('recreated_running')
  await fixture.start(['processor'])
  await fixture.applied(await fixture.publishValues('transactions', payments('read', 2)))
  await makeAnew()
  await fixture.publishValues('transactions', payments('new', 12))
  // As it was when it was looked at: still away, shorter, or longer with another record.
  const isKnown = (code: string) =>
    ['topic_unknown', 'topic_id_unknown', 'position_out_of_range', 'topic_recreated'].includes(code)
  await expect.poll(() => stopped('topic_recreated'), { timeout: 30_000 }).toContain('transactions:0')
  expect(fixture.incidents.map(({ code }) => code).filter((code) => !isKnown(code))).toEqual([])
  await expect.poll(incidentNoted).toBe('topic_recreated')
  expect(await applied()).toEqual(['old0', 'old1', 'old2', 'old3', 'old4', 'read0', 'read1'])
})

it('the same log read on from the last applied record applies each record once', async () => {
  await begin('same_log')
  const positions = await fixture.publishValues('transactions', payments('more', 3))
  await fixture.start(['processor'])
  await fixture.applied(positions)
  expect(fixture.incidents).toEqual([])
  expect(await applied()).toEqual(['old0', 'old1', 'old2', 'old3', 'old4', 'more0', 'more1', 'more2'])
})
