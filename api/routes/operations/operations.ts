/** Health that tells the truth, and metrics. */
import type { FastifyInstance } from 'fastify'
import type { ApiDependencies } from '#api/dependencies.ts'
import { type LedgerProgress, readProgress } from '#platform/postgres/queries/read-progress.ts'

const componentSchema = { type: 'string', enum: ['up', 'down', 'stalled', 'unknown'] } as const

const readySchema = {
  type: 'object',
  properties: {
    status: {
      type: 'string',
      enum: ['ready', 'degraded', 'unavailable'],
      description:
        'degraded: requests are served, but slower (Redis away) or outcomes don’t come (engine stalled).',
    },
    postgres: componentSchema,
    kafka: componentSchema,
    redis: componentSchema,
    engine: componentSchema,
    sequence: { type: ['string', 'null'] },
    unpublished_batches: { type: ['string', 'null'] },
    ledger_time: { type: ['string', 'null'] },
  },
} as const

const READY_EXAMPLE = {
  status: 'ready',
  postgres: 'up',
  kafka: 'up',
  redis: 'up',
  engine: 'up',
  sequence: '4711',
  unpublished_batches: '0',
  ledger_time: '2026-01-31T12:00:00.000Z',
} as const

/** Registers the routes. */
export function registerOperations(app: FastifyInstance, dependencies: ApiDependencies): void {
  app.get(
    '/health/live',
    {
      schema: {
        operationId: 'getLiveness',
        summary: 'Whether the process runs',
        description: 'Asks no other service: for probes that restart a process that hangs.',
        tags: ['operations'],
        response: {
          200: {
            type: 'object',
            description: 'It runs.',
            properties: { status: { type: 'string' } },
            examples: [{ status: 'live' }],
          },
        },
      },
    },
    async () => ({ status: 'live' }),
  )
  app.get(
    '/health/ready',
    {
      schema: {
        operationId: 'getReadiness',
        summary: 'Whether requests can be served',
        description: 'Asks Postgres, the brokers and Redis, and looks whether the engine moves.',
        tags: ['operations'],
        response: {
          200: { ...readySchema, description: 'Requests are served.', examples: [READY_EXAMPLE] },
          503: {
            ...readySchema,
            description: 'Postgres or Kafka is away.',
            examples: [{ ...READY_EXAMPLE, status: 'unavailable', kafka: 'down' }],
          },
        },
      },
    },
    async (_request, reply) => {
      const health = await readiness(dependencies)
      return await reply.status(health.status === 'unavailable' ? 503 : 200).send(health)
    },
  )
  app.get(
    '/metrics',
    {
      schema: {
        operationId: 'getMetrics',
        summary: 'Prometheus metrics',
        description: 'Of this process. The engine has its own, see METRICS_PORT in docs/configuration.md.',
        tags: ['operations'],
        response: {
          200: {
            description: 'The text format of Prometheus.',
            content: {
              'text/plain': {
                schema: { type: 'string' },
                example: 'tallystream_gateway_published_total{topic="transactions",result="ok"} 17',
              },
            },
          },
        },
      },
    },
    async (_request, reply) => {
      const { registry } = dependencies.metrics
      return await reply.type(registry.contentType).send(await registry.metrics())
    },
  )
}

async function readiness(dependencies: ApiDependencies) {
  const { pool, checks, logger } = dependencies
  const [progress, kafka, redis] = await Promise.all([
    readProgress(pool).catch((error: unknown) => {
      logger.warn({ err: error }, 'Postgres does not answer')
      return undefined
    }),
    checks.kafka(),
    checks.redis(),
  ])
  const engine = progress === undefined ? 'unknown' : engineState(progress, dependencies)
  let status = 'ready'
  if (progress === undefined || !kafka) status = 'unavailable'
  else if (!redis || engine === 'stalled') status = 'degraded'
  return {
    status,
    postgres: progress === undefined ? 'down' : 'up',
    kafka: kafka ? 'up' : 'down',
    redis: redis ? 'up' : 'down',
    engine,
    sequence: progress?.sequence.toString() ?? null,
    unpublished_batches:
      progress === undefined ? null : (progress.sequence - progress.publishedSequence).toString(),
    ledger_time: progress === undefined ? null : new Date(progress.tickMs).toISOString(),
  }
}

/** A tick comes every second and is applied behind whatever was there before it: an old clock means that nothing is decided. */
const engineState = (progress: LedgerProgress, { nowMs, options }: ApiDependencies): 'up' | 'stalled' =>
  nowMs() - progress.tickMs <= options.engineStaleMs ? 'up' : 'stalled'
