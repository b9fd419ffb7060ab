/** GET /recon/{pair}/report: the daily report as page, CSV or JSON. */
import type { FastifyInstance } from 'fastify'
import type { ApiDependencies } from '#api/dependencies.ts'
import { Problem, problems } from '#api/problem.ts'
import { reportCsv, reportPage } from '#connectors/reconciliation/report-formats.ts'
import { isCalendarDay } from '#domain/time/calendar.ts'
import { readDailyReport, readLastReportDate } from '#platform/postgres/reconciliation/report.ts'

interface Query {
  date?: string
  format?: 'json' | 'csv' | 'page'
}

/** Registers the route. */
export function registerReconciliationReport(app: FastifyInstance, { pool, nowMs }: ApiDependencies): void {
  app.get<{ Params: { pair: string }; Querystring: Query }>(
    '/recon/:pair/report',
    {
      schema: {
        operationId: 'readDailyReport',
        summary: 'A day of a pair: opening, matched, open by kind and age, closing, proof, for each account',
        description: 'As it stands now. As JSON, CSV (RFC 4180) or a page (HTML).',
        tags: ['reconciliation'],
        params: {
          type: 'object',
          properties: { pair: { type: 'string', maxLength: 63, description: 'The pair’s name.' } },
        },
        querystring: {
          type: 'object',
          additionalProperties: false,
          properties: {
            date: {
              type: 'string',
              pattern: '^\\d{4}-\\d{2}-\\d{2}$',
              description: 'ISO 8601; the last day that a statement closes where absent.',
            },
            format: {
              type: 'string',
              enum: ['json', 'csv', 'page'],
              default: 'json',
              description: 'What is answered.',
            },
          },
        },
        response: {
          200: {
            type: 'object',
            additionalProperties: true,
            description: 'The report.',
            examples: [{ pair: 'nostro', date: '2026-03-02', accounts: [] }],
          },
          ...problems(400, 404, 503),
        },
      },
    },
    async (request, reply) => {
      const { pair } = request.params
      const { format = 'json' } = request.query
      const date =
        request.query.date ??
        (await readLastReportDate(pool, pair)) ??
        new Date(nowMs()).toISOString().slice(0, 10)
      if (!isCalendarDay(date)) {
        throw new Problem(400, 'time_invalid', 'Expected date as a day of the calendar.', {
          members: { property: 'date' },
        })
      }
      const report = await readDailyReport(pool, pair, date)
      if (report === null) throw new Problem(404, 'pair_not_found', 'There is no such pair of sources.')
      if (format === 'json') return report
      const [type, text] =
        format === 'csv' ? ['text/csv', reportCsv(report)] : ['text/html', reportPage(report)]
      // Names come from statements: nothing in the page may run.
      reply.header('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'")
      return await reply
        .type(`${type}; charset=utf-8`)
        .serializer((payload: unknown) => payload as string)
        .send(text)
    },
  )
}
