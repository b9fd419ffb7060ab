/** The publisher on the real broker: outputs once each in ledger order, whoever fails where, and incidents instead of resets. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { account, external, posting, transaction } from '#domain/ledger/testing/memory-ledger.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { type IncidentError, UnreachableError } from '#platform/errors.ts'
import { FencedProducer } from '#platform/kafka/fenced-producer.ts'
import { readToEnd, testConsumer } from '#platform/kafka/kafka.fixtures.ts'
import { RangeReader } from '#platform/kafka/range-reader.ts'
import { systemClock } from '#platform/time/clock.ts'
import type { LedgerDriver } from '../testing/ledger-fixture.ts'
import { PipelineFixture } from '../testing/pipeline-fixture.ts'
import { batchEncoder } from './batches.ts'
import { lastPublishedBatch, publisherGroup } from './position.ts'
import {
  Publisher,
  type PublisherOptions,
  type PublishingProducer,
  publisherTransactionalId,
} from './publisher.ts'

type Batch = Parameters<PublishingProducer['publish']>[0]

let fixture: PipelineFixture
let driver: LedgerDriver
let ranges: RangeReader
const started: Started[] = []

beforeAll(async () => {
  fixture = await PipelineFixture.create(testConfiguration('publisher'))
  ranges = new RangeReader(fixture.kafka)
  driver = await fixture.ledger.openDriver()
  await driver.apply(fixture.ledger.log([account('alice'), external('world')]))
})
afterEach(async () => {
  for (const { publisher } of started.splice(0)) await publisher.stop()
})
afterAll(async () => {
  await ranges.close()
  await fixture.close()
})

let paid = 0
/** Adds batches of one payment each. @returns their ids */
const pay = async (count: number): Promise<string[]> => {
  paid += count
  const ids = everything().slice(-count)
  const inputs = ids.map((id) =>
    transaction({ id, postings: [posting({ debit: 'world', credit: 'alice', amount: 1n })] }),
  )
  await driver.apply(fixture.ledger.log(inputs), 1)
  return ids
}

interface Started {
  readonly publisher: Publisher
  readonly running: Promise<unknown>
  readonly incidents: IncidentError[]
  readonly warnings: string[]
  readonly cached: bigint[]
}

/** Starts a publisher; `publish` stands around the real producer's. */
const start = (
  options: Partial<PublisherOptions> & {
    publish?: (batch: Batch, real: (batch: Batch) => Promise<void>) => Promise<void>
    afterPosition?: () => Promise<void>
  } = {},
): Started => {
  const { ledger } = fixture.ledger.configuration
  const incidents: IncidentError[] = []
  const warnings: string[] = []
  const cached: bigint[] = []
  const { publish = (batch, real) => real(batch), afterPosition, ...rest } = options
  const publisher = new Publisher({
    ledger: ledger.name,
    topicPrefix: ledger.topicPrefix,
    store: fixture.ledger.store,
    makeProducer: () => {
      const real = new FencedProducer({
        kafka: fixture.kafka,
        transactionalId: publisherTransactionalId(ledger.name),
      })
      return {
        fence: () => real.fence(),
        readPosition: async (asked) => {
          const position = await real.readPosition(asked)
          await afterPosition?.()
          return position
        },
        publish: (batch) => publish(batch, (given) => real.publish(given)),
        close: () => real.close(),
      }
    },
    makeSink: () => ({
      apply: async (_balances, { sequence }) => void cached.push(sequence),
      touch: async () => undefined,
    }),
    entries: null,
    batchOf: null,
    lease: { take: async () => true, release: async () => undefined },
    leaseRenewMs: 50,
    clock: systemClock,
    logger: {
      info: () => undefined,
      warn: (fields) => void warnings.push((fields as { code: string }).code),
    },
    onPublished: () => undefined,
    onTakeOver: () => undefined,
    onIncident: (incident) => void incidents.push(incident),
    ...rest,
  })
  const running = publisher.run().catch((error: unknown) => error)
  const made = { publisher, running, incidents, warnings, cached }
  started.push(made)
  return made
}

const storeOf = (): PublisherOptions['store'] => ({
  readAfter: (sequence, limits) => fixture.ledger.store.readAfter(sequence, limits),
  readHead: () => fixture.ledger.store.readHead(),
  notePublished: (sequence) => fixture.ledger.store.notePublished(sequence),
})

/** Deletes the group's position, as brokers do by themselves a week after its last commit. */
const forget = async (groupId: string): Promise<boolean> => {
  const client = fixture.kafka.admin()
  await client.connect()
  try {
    await client.deleteGroups([groupId])
    return true
  } catch {
    return false
  } finally {
    await client.disconnect()
  }
}

/** What a read_committed reader gets of the decisions, from the beginning. */
const published = async (): Promise<string[]> => {
  const consumer = testConsumer([fixture.topic('transactions.processed')], {
    groupId: `readers-${paid}-${started.length}-${Math.floor(performance.now())}`,
  })
  await consumer.consumer.start()
  try {
    const records = await readToEnd(consumer, fixture.topic('transactions.processed'))
    return records.map(({ key }) => String(key))
  } finally {
    await consumer.consumer.stop()
  }
}

const everything = (): string[] =>
  Array.from({ length: paid }, (_, place) => `p${String(place + 1).padStart(3, '0')}`)

describe('a publisher', () => {
  it('sends every batch once, in sequence, and goes on after a stop where it was', async () => {
    await pay(5)
    start()
    await fixture.published()
    await started.splice(0)[0]!.publisher.stop()
    await pay(3)
    start()
    await fixture.published()
    expect(await published()).toEqual(everything())
  })

  it('sends once what failed before Kafka had it, though the cache had it already', async () => {
    await pay(4)
    let failures = 2
    const { warnings, cached } = start({
      publish: async (batch, real) => {
        failures -= 1
        if (failures >= 0) throw new UnreachableError('kafka', 'cut off before anything was sent')
        await real(batch)
      },
    })
    await fixture.published()
    expect(warnings).toEqual(['kafka_unreachable', 'kafka_unreachable'])
    expect(cached).toHaveLength(3)
    expect(await published()).toEqual(everything())
  })

  it('sends once what was committed in Kafka though the answer was lost, and though Postgres has no note of it', async () => {
    await pay(4)
    let lost = 0
    const { warnings } = start({
      publish: async (batch, real) => {
        await real(batch)
        if (lost === 0) {
          lost += 1
          throw new UnreachableError('kafka', 'the answer was lost')
        }
      },
      store: {
        ...storeOf(),
        notePublished: async (sequence) => {
          if (lost === 1) {
            lost += 1
            throw new UnreachableError('postgres', 'gone before the note')
          }
          await fixture.ledger.store.notePublished(sequence)
        },
      },
    })
    await fixture.published()
    expect(warnings).toEqual(['kafka_unreachable', 'postgres_unreachable'])
    expect(await published()).toEqual(everything())
  })

  it('is fenced by the next one before that one reads the position; the outputs are there once', async () => {
    const reached = Promise.withResolvers<void>()
    const letGo = Promise.withResolvers<void>()
    const settled = Promise.withResolvers<void>()
    let mayLead = true
    const first = start({
      lease: { take: async () => mayLead, release: async () => undefined },
      publish: async (batch, real) => {
        reached.resolve()
        await letGo.promise
        mayLead = false
        await real(batch).finally(settled.resolve)
      },
    })
    await pay(3)
    await reached.promise
    // The first one sends right after the second one has read where to go on: the worst moment.
    const second = start({
      afterPosition: async () => {
        letGo.resolve()
        await settled.promise
      },
    })
    await expect.poll(() => first.warnings, { timeout: 10_000 }).toEqual(['publisher_fenced'])
    await pay(2)
    await fixture.published()
    expect(second.warnings).toEqual([])
    expect(first.publisher.isActive).toBe(false)
    expect(second.publisher.isActive).toBe(true)
    expect(await published()).toEqual(everything())
  })

  it('stops where the database is older than what was published', async () => {
    const { ledger } = fixture.ledger.configuration
    const group = publisherGroup(ledger.topicPrefix, ledger.name)
    const producer = new FencedProducer({
      kafka: fixture.kafka,
      transactionalId: publisherTransactionalId(ledger.name),
    })
    await producer.fence()
    const before = await producer.readPosition(group)
    expect(before).toBe((await fixture.ledger.store.readHead()).sequence)
    await producer.publish({ messagesByTopic: new Map(), position: { ...group, offset: before! + 1n } })
    const { running, incidents } = start()
    await expect(running).resolves.toMatchObject({ code: 'database_behind_published' })
    expect(incidents).toHaveLength(1)
    await producer
      .publish({ messagesByTopic: new Map(), position: { ...group, offset: before! } })
      .catch(async () => {
        // The publisher has fenced it; put the position back for the tests that follow.
        const next = new FencedProducer({
          kafka: fixture.kafka,
          transactionalId: publisherTransactionalId(ledger.name),
        })
        await next.fence()
        await next.publish({ messagesByTopic: new Map(), position: { ...group, offset: before! } })
        await next.close()
      })
    await producer.close()
  })

  it('goes on exactly where it was though the brokers forgot its position, with or without a note of the last batches', async () => {
    const { ledger } = fixture.ledger.configuration
    const batchOf = batchEncoder(fixture.contracts, { timeline: 1n, genesis: null })
    const lastPublished = () => lastPublishedBatch(fixture.admin, ranges, ledger.topicPrefix)
    const { groupId } = publisherGroup(ledger.topicPrefix, ledger.name)
    const run = async (options: Partial<PublisherOptions>) => {
      await pay(3)
      const { publisher, incidents, warnings } = start({ batchOf, lastPublished, ...options })
      await expect
        .poll(lastPublished, { timeout: 20_000 })
        .toBe((await fixture.ledger.store.readHead()).sequence)
      await publisher.stop()
      expect([incidents, warnings]).toEqual([[], []])
      await expect.poll(() => forget(groupId), { timeout: 15_000 }).toBe(true)
      const group = publisherGroup(ledger.topicPrefix, ledger.name)
      expect(await fixture.admin.committedOffset(group)).toBeUndefined()
    }
    await run({})
    const unnoted = { ...storeOf(), notePublished: async () => undefined }
    await run({ store: unnoted })
    await run({})
    expect(await published()).toEqual(everything())
    start({ batchOf, lastPublished })
    await fixture.published()
    // The position is committed again with what is sent next.
    await pay(1)
    await fixture.published()
    expect(await published()).toEqual(everything())
  })

  it.each([
    [
      'has a position before what Postgres says was published',
      async (real: bigint | undefined) => real! - 1n,
    ],
    ['has no position at all', async () => undefined],
  ])('stops where Kafka %s', async (_label, positionOf) => {
    const { running, incidents } = start({
      makeProducer: () => {
        const { ledger } = fixture.ledger.configuration
        const real = new FencedProducer({
          kafka: fixture.kafka,
          transactionalId: publisherTransactionalId(ledger.name),
        })
        return {
          fence: () => real.fence(),
          readPosition: async (position) => positionOf(await real.readPosition(position)),
          publish: (batch) => real.publish(batch),
          close: () => real.close(),
        }
      },
    })
    await expect(running).resolves.toMatchObject({ code: 'publisher_position_lost' })
    expect(incidents).toHaveLength(1)
  })

  it('stops at a batch that was changed after it was committed', async () => {
    const ids = await pay(2)
    await fixture.ledger.rows(
      `update batches set header = header || ' '::bytea where sequence = (select max(sequence) from batches)`,
    )
    const { running } = start()
    await expect(running).resolves.toMatchObject({ code: 'batch_damaged' })
    expect(await published()).toEqual(everything().filter((id) => !ids.includes(id)))
  })
})
