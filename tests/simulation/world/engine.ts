/**
 * One process of the engine, put together as processors/pipeline.ts does it, from the real parts: processor, publisher and
 * ticker over the real adapters, which talk to simulated services.
 */
import { type IncidentError, UnreachableError } from '#platform/errors.ts'
import { KafkaAdmin } from '#platform/kafka/admin.ts'
import { FencedProducer } from '#platform/kafka/fenced-producer.ts'
import { IngestConsumer } from '#platform/kafka/ingest-consumer.ts'
import { BatchStore } from '#platform/postgres/batch-store.ts'
import { Lease } from '#platform/postgres/lease.ts'
import { LedgerSession, type LedgerSessionOptions } from '#platform/postgres/ledger-store/session.ts'
import { noteIncident } from '#platform/postgres/positions.ts'
import { BalanceCacheWriter } from '#platform/redis/balance-cache-writer.ts'
import { encoderOf, frameSchemaIds } from '#platform/schema-registry/contracts.ts'
import type { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { makeChunkDecoder } from '#processors/ingest/chunk-decoder.ts'
import { balanceSinkOf } from '#processors/publish/balance-sink.ts'
import { batchEncoder } from '#processors/publish/batches.ts'
import { EntryMaker } from '#processors/publish/entry-maker.ts'
import { expectNotRestored, publisherGroup } from '#processors/publish/position.ts'
import { Publisher, publisherTransactionalId } from '#processors/publish/publisher.ts'
import { BatchSize } from '#processors/runtime/batch-size.ts'
import { Processor } from '#processors/runtime/processor.ts'
import { encodersOf, localContracts, localSchemas } from '#processors/testing/ledger-fixture.ts'
import { Ticker } from '#processors/time/ticker.ts'
import { lastKeyOf, makeSimulatedKafka } from '../kafka/client.ts'
import type { Message } from '../kafka/producer.ts'
import { SimulatedPgClient, SimulatedPgPool } from '../postgres/client.ts'
import { makeSimulatedRedis } from '../redis/client.ts'
import type { SimulatedProcess } from '../scheduler/scheduler.ts'
import { LEDGER, OTHER_WRITERS, type Services, TOPIC_PREFIX } from './services.ts'

export interface EngineEvents {
  incident(code: string, message: string): void
  /** The process' work is over: by an incident or an error, never by itself. */
  ended(error: unknown): void
}

export interface Engine {
  readonly process: SimulatedProcess
  /** Ends its work properly, as on SIGTERM. */
  stop(): Promise<void>
  /** Batches that were sent and not answered. */
  batchesUnderWay(): number
  /** Breaks the connection by which batches are written. */
  cutSession(): void
  /** Breaks connections: one of a random kind. */
  cut(): void
}

type PgClient = ReturnType<NonNullable<LedgerSessionOptions['makeClient']>>

const encoders = encodersOf(localContracts)
const schemas = frameSchemaIds(localContracts)
const tickEncoder = encoderOf<unknown>(localContracts.ticks)

/** What the ledger began with; the simulated one has no story before its first batch. */
const ORIGIN = { timeline: 1n, genesis: null } as Parameters<typeof batchEncoder>[1]

const LEASE_MS = { publisher: 2_000, ticker: 3_000 }
const PUBLISHED_REFRESH_MS = 200
const POSITIONS_EVERY_MS = 5_000

/** Starts one. Everything that it does from here on belongs to the given process. */
export const startEngine = (services: Services, process: SimulatedProcess, events: EngineEvents): Engine => {
  const { kafka, cuttable } = makeSimulatedKafka(services.kafka, process)
  const redis = makeSimulatedRedis(services.redis, process)
  const pool = new SimulatedPgPool(services.postgres, process)
  const sessions: SimulatedPgClient[] = []
  const registry = registryOf(services, process)
  const store = new BatchStore(pool as never)
  const admin = new KafkaAdmin(kafka)
  const logger = loggerOf(services, process)
  const lastPublished = lastKeyOf(services.kafka, process, `${TOPIC_PREFIX}ledger.batches`)
  const onIncident = (incident: IncidentError): void => events.incident(incident.code, incident.message)
  let published = 0n
  const { clock } = process
  const refresh = setInterval(() => {
    store.readHead().then(
      (head) => {
        published = head.publishedSequence
      },
      () => undefined,
    )
  }, PUBLISHED_REFRESH_MS)
  const publisher = makePublisher()
  const processor = makeProcessor()
  const ticker = makeTicker()
  const positions = setInterval(() => void processor.showPositions(), POSITIONS_EVERY_MS)

  function makeProcessor(): Processor {
    const decoder = makeChunkDecoder({
      registry,
      contracts: localContracts,
      topicPrefix: TOPIC_PREFIX,
      // By the machine's clock it would yield now and then: not the same each time.
      sliceMs: Number.POSITIVE_INFINITY,
    })
    return new Processor({
      topicPrefix: TOPIC_PREFIX,
      makeReader: (hooks) =>
        new IngestConsumer({
          kafka,
          groupId: `tallystream.processor.${LEDGER}`,
          topics: services.ingest.map(({ topic }) => TOPIC_PREFIX + topic),
          bytesPerPartitionMax: 20_000,
          claim: hooks.claim,
          release: hooks.release,
          onIncident: hooks.onIncident,
        }),
      openSession: async () => {
        await expectNotRestored({
          committed: () => admin.committedOffset(publisherGroup(TOPIC_PREFIX, LEDGER)),
          seen: lastPublished,
          store,
        })
        return await LedgerSession.open({
          connectionString: '',
          ssl: undefined,
          schema: 'simulated',
          clusterId: 'local',
          owner: process.name,
          idleInTransactionMs: 1_000,
          connectTimeoutMs: 5_000,
          makeClient: (config) => {
            const client = new SimulatedPgClient(services.postgres, process, config)
            sessions.push(client)
            if (sessions.length > 4) sessions.shift()
            return client as unknown as PgClient
          },
        })
      },
      context: {
        ledger: LEDGER,
        encoders,
        schemas,
        accountsMax: services.accountsMax,
        publishBacklogMax: 50,
        publishedSequence: () => published,
      },
      decode: decoder.decode,
      prepare: decoder.prepare,
      isReady: decoder.isReady,
      admin,
      clock,
      batchSize: new BatchSize({ recordsMin: 1, recordsMax: services.batchRecordsMax, wallMaxMs: 500 }),
      batchBytesMax: 100_000,
      logger,
      onBatch: () => publisher.wake(),
      onIncident,
      onStopped: (incident) => {
        noteIncident(pool as never, 'local', incident).catch(() => undefined)
      },
    })
  }

  function makePublisher(): Publisher {
    return new Publisher({
      ledger: LEDGER,
      topicPrefix: TOPIC_PREFIX,
      store,
      makeProducer: () => new FencedProducer({ kafka, transactionalId: publisherTransactionalId(LEDGER) }),
      makeSink: ({ sequence, recordedAtMs, timeline }) =>
        balanceSinkOf(
          new BalanceCacheWriter(redis.client, {
            keyPrefix: `${LEDGER}:`,
            timeline,
            sequence,
            recordedAtMs,
            balanceLifeMs: services.balanceLifeMs,
            onEvent: (event) => {
              if (event.type === 'unavailable') services.redisTrouble()
            },
          }),
          { registry, contract: localContracts.balances, timeline },
        ),
      entries: new EntryMaker(registry, localContracts, { trusted: true }),
      batchOf: batchEncoder(localContracts, ORIGIN),
      lastPublished,
      lease: new Lease(pool as never, {
        name: 'publisher',
        holder: process.name,
        lifetimeMs: LEASE_MS.publisher,
      }),
      leaseRenewMs: LEASE_MS.publisher / 4,
      clock,
      logger,
      onPublished: () => undefined,
      onTakeOver: () => services.scheduler.note(`${process.name} publishes`),
      onIncident,
    })
  }

  function makeTicker(): Ticker {
    const producer = kafka.producer({ idempotent: true })
    return new Ticker({
      intervalMs: 1_000,
      actor: process.name,
      clock,
      lease: new Lease(pool as never, { name: 'ticker', holder: process.name, lifetimeMs: LEASE_MS.ticker }),
      readEnds: async () => {
        const ends = []
        for (const { topic } of services.ingest) {
          if (topic === 'ticks') continue
          for (const range of await admin.ranges(TOPIC_PREFIX + topic)) {
            ends.push({ topic, partition: range.partition, end: range.end })
          }
        }
        return ends
      },
      publish: async (tick) => {
        const value = tickEncoder.encode({ ...tick, time: BigInt(tick.time) })
        const message: Message = {
          key: null,
          value,
          partition: 0,
          meaning: { type: 'tick', time: tick.time, ends: tick.ends },
        }
        const topicMessages = [{ topic: `${TOPIC_PREFIX}ticks`, messages: [message] }]
        // As platform/kafka/producer.ts says it.
        await producer.sendBatch({ topicMessages }).catch((error: Error) => {
          throw new UnreachableError('kafka', error.message, { cause: error })
        })
      },
      logger,
    })
  }

  const parts = [publisher, ticker, processor]
  for (const part of parts) part.run().catch((error: unknown) => events.ended(error))
  return {
    process,
    stop: async () => {
      await Promise.all(parts.map((part) => part.stop()))
      clearInterval(refresh)
      clearInterval(positions)
      await admin.close()
    },
    cutSession: () => sessions.find((client) => client.isConnected && client.commitsUnderWay > 0)?.cut(),
    batchesUnderWay: () =>
      sessions.reduce((sum, client) => sum + (client.isConnected ? client.commitsUnderWay : 0), 0),
    cut: () => {
      const { random } = services.scheduler
      const open = sessions.filter((client) => client.isConnected)
      const kinds: readonly (readonly { cut(): void }[])[] = [open, open, cuttable, [pool], [redis]]
      const kind = random.pick(kinds)
      if (kind.length > 0) random.pick(kind).cut()
    },
  }
}

/** Knows the engine's own schemas from registering them; those of other writers must be asked for, which takes its time. */
const registryOf = (services: Services, process: SimulatedProcess): SchemaRegistry => {
  const known = new Set<number>()
  const registry = {
    schema: (id: number) => {
      if (id < OTHER_WRITERS || known.has(id)) return localSchemas.schema(id % OTHER_WRITERS)
      return new Promise((resolve, reject) => {
        process.after(services.scheduler.random.skewed(1, 50), 'schema', () => {
          if (!services.registryAnswers()) {
            reject(services.registryAway())
            return
          }
          known.add(id)
          resolve(localSchemas.schema(id % OTHER_WRITERS))
        })
      })
    },
  }
  return registry as unknown as SchemaRegistry
}

const loggerOf = (services: Services, process: SimulatedProcess) => {
  const note = (fields: object, message: string): void =>
    services.scheduler.note(
      `${process.name} ${message} ${JSON.stringify((fields as { code?: string }).code ?? '')}`,
    )
  return { info: note, warn: note, error: note }
}
