/** GET /fraud/alerts: what fraud rules found, as a feed in ledger order. */
import type { FastifyInstance } from 'fastify'
import type { ApiDependencies } from '#api/dependencies.ts'
import { Problem, problems } from '#api/problem.ts'
import { cursorOf, PAGE_SIZE_DEFAULT, pageQuery } from '#api/request.ts'
import { showRuleHit } from '#api/routes/transactions/show-transaction.ts'
import { nullableTextSchema, ruleHitExample, ruleHitSchema, timeSchema } from '#api/schemas.ts'
import { encodeCursor } from '#platform/postgres/queries/cursor.ts'

const ALERT_CURSOR_LENGTH = 1

const alertSchema = {
  type: 'object',
  properties: {
    sequence: {
      type: 'string',
      description: 'Place in the ledger’s history; with index it names the alert.',
    },
    index: { type: 'integer' },
    txn_id: { type: 'string' },
    source: { type: 'string' },
    kind: { type: 'string', enum: ['rules', 'id_conflict'] },
    action: { type: 'string', enum: ['alert', 'hold', 'reject'], description: 'What was done.' },
    account: { ...nullableTextSchema, description: 'The payer.' },
    recorded_at: timeSchema,
    rules: { type: 'array', description: 'What was found, in words too.', items: ruleHitSchema },
  },
} as const

const ALERT_EXAMPLE = {
  sequence: '4711',
  index: 0,
  txn_id: 'pay-17',
  source: 'shop',
  kind: 'rules',
  action: 'hold',
  account: 'alice',
  recorded_at: '2026-01-31T12:00:00.000Z',
  rules: [ruleHitExample],
} as const

/** Registers the route. */
export function registerAlerts(app: FastifyInstance, { readAlerts }: ApiDependencies): void {
  app.get<{ Querystring: { cursor?: string; limit?: number } }>(
    '/fraud/alerts',
    {
      schema: {
        operationId: 'readAlerts',
        summary: 'Fraud alerts, oldest first',
        description:
          'A feed: the Link header names where to go on, also when there is nothing more yet. Without a cursor it begins with the oldest alert that is kept. After a repair of outputs an alert may come again, under the same sequence and index.',
        tags: ['fraud'],
        querystring: { type: 'object', additionalProperties: false, properties: pageQuery },
        response: {
          200: {
            type: 'array',
            description: 'A stretch of the feed.',
            items: alertSchema,
            examples: [[ALERT_EXAMPLE]],
          },
          ...problems(400, 410, 503),
        },
      },
    },
    async (request, reply) => {
      const { cursor, limit = PAGE_SIZE_DEFAULT } = request.query
      const from = cursorOf(cursor, ALERT_CURSOR_LENGTH)?.[0] ?? null
      const { alerts, next, start } = await readAlerts(from, limit)
      if (from !== null && from < start)
        throw new Problem(
          410,
          'alerts_gone',
          'Alerts behind this cursor are not kept any more; begin without one.',
        )
      const url = new URL(request.url, 'http://api')
      url.searchParams.set('cursor', encodeCursor([next]))
      reply.header('link', `<${url.pathname}${url.search}>; rel="next"`)
      return alerts.map((alert) => ({
        sequence: alert.sequence.toString(),
        index: alert.index,
        txn_id: alert.transactionId,
        source: alert.source,
        kind: alert.kind,
        action: alert.action,
        account: alert.account,
        recorded_at: new Date(Number(alert.recordedAt)).toISOString(),
        rules: alert.rules.map(showRuleHit),
      }))
    },
  )
}
