/** An API for tests: every dependency stands still unless the test says otherwise. */
import type { FastifyInstance } from 'fastify'
import { buildApp } from '#api/app.ts'
import { type ApiDependencies, type ApiOptions, defaultApiOptions } from '#api/dependencies.ts'
import type { IngestRecord } from '#api/gateway/ingest-gateway.ts'
import { OutcomeWaiter } from '#api/gateway/outcome-waiter.ts'
import { PositionWaiter } from '#api/gateway/position-waiter.ts'
import { createLogger } from '#platform/observability/logger.ts'
import { makeApiMetrics } from '#platform/observability/metrics.ts'
import type { StoredOutcome } from '#platform/postgres/queries/read-outcomes.ts'

export const TEST_TIME_MS = Date.UTC(2026, 5, 15, 12)

export interface Published {
  topic: string
  key: string
  record: IngestRecord
}

export interface TestApi {
  app: FastifyInstance
  /** What was published, in order. */
  published: Published[]
  /** Log lines. */
  lines: string[]
}

/** Builds an API whose gateway only notes what it is given. */
export async function buildTestApi(
  changes: Partial<Omit<ApiDependencies, 'options'>> & { options?: Partial<ApiOptions> } = {},
): Promise<TestApi> {
  const published: Published[] = []
  const lines: string[] = []
  const app = await buildApp({
    pool: { query: async () => [], close: async () => {}, load: () => ({ connections: 0, waiting: 0 }) },
    cache: { read: async () => undefined, expireOlder: async () => {} },
    gateway: {
      publish: async (topic, key, record) => {
        published.push({ topic, key, record })
        return { topic, partition: 0, offset: BigInt(published.length - 1) }
      },
    },
    outcomes: new OutcomeWaiter({ readOutcomes: async () => [] }),
    readDecisions: async (places) => places.map(() => undefined),
    readAlerts: async (from) => ({ alerts: [], next: from ?? 0n, start: 0n }),
    readRefusal: async () => null,
    positions: new PositionWaiter({ readAppliedOffsets: async () => new Map() }),
    metrics: makeApiMetrics(),
    logger: createLogger({ level: 'debug', service: 'api', write: (line) => lines.push(line) }),
    checks: { kafka: async () => true, redis: async () => true },
    doReviewWork: async () => ({ refusal: 'not_held' }),
    audit: { note: () => {} },
    nowMs: () => TEST_TIME_MS,
    ...changes,
    options: { ...defaultApiOptions, ...changes.options },
  })
  return { app, published, lines }
}

/** An outcome of the record with this key. */
export const outcomeOf = (
  changes: Partial<StoredOutcome> & Pick<StoredOutcome, 'key' | 'content'>,
): StoredOutcome => ({
  status: 'applied',
  reason: null,
  sequence: 7n,
  timeline: 1n,
  recordedAt: new Date(TEST_TIME_MS),
  occurredAt: new Date(TEST_TIME_MS),
  topic: 'transactions',
  partition: 0,
  offset: 0n,
  accountIds: ['alice', 'bob'],
  ...changes,
})
