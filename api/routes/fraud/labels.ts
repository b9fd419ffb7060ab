/** POST /fraud/labels: what a payment turned out to be, published to the topic `fraud.labels`. */
import type { FastifyInstance } from 'fastify'
import type { ApiDependencies } from '#api/dependencies.ts'
import { requiredActor, submitChange } from '#api/gateway/submit-change.ts'
import { Problem, problems } from '#api/problem.ts'
import type { Label } from '#domain/transactions/command.ts'
import { wordsOf } from '#domain/transactions/reason-texts.ts'
import { validateLabel } from '#domain/transactions/validate.ts'

interface LabelBody {
  transactionId: string
  source?: string
  verdict: 'fraud' | 'genuine'
  reason?: string
}

const shownProperties = {
  txn_id: { type: 'string' },
  source: { type: 'string' },
  verdict: { type: 'string' },
  status: { type: 'string', description: 'applied, or pending until it is decided.' },
} as const

const LABEL_EXAMPLE = { txn_id: 'pay-17', source: 'shop', verdict: 'fraud', status: 'applied' } as const

/** Registers the route. */
export function registerLabels(app: FastifyInstance, dependencies: ApiDependencies): void {
  app.post<{ Body: LabelBody }>(
    '/fraud/labels',
    {
      handlerTimeout: dependencies.options.waitMaxMs + 15_000,
      schema: {
        operationId: 'labelPayment',
        summary: 'Say what a payment turned out to be',
        description:
          'Who says so is named by the header `x-actor`. Rules use it from the seventh day after the payment on; the last label of a payment counts, once. Refused with 409: unknown_transaction, label_too_late.',
        tags: ['fraud'],
        body: {
          type: 'object',
          additionalProperties: false,
          required: ['transactionId', 'verdict'],
          properties: {
            transactionId: { type: 'string', minLength: 1, maxLength: 64 },
            source: { type: 'string', maxLength: 64, default: '' },
            verdict: { type: 'string', enum: ['fraud', 'genuine'] },
            reason: { type: 'string', maxLength: 512, default: '', description: 'Where it is known from.' },
          },
          examples: [{ transactionId: 'pay-17', source: 'shop', verdict: 'fraud', reason: 'chargeback' }],
        },
        response: {
          200: {
            type: 'object',
            description: 'Applied.',
            properties: shownProperties,
            examples: [LABEL_EXAMPLE],
          },
          202: {
            type: 'object',
            description: 'Published, not decided yet; the Location header names the payment.',
            properties: shownProperties,
            examples: [{ ...LABEL_EXAMPLE, status: 'pending' }],
          },
          ...problems(400, 409, 413, 415, 422, 503),
        },
      },
    },
    async (request, reply) => {
      const { transactionId, source = '', verdict, reason = '' } = request.body
      const actor = requiredActor(request)
      const label: Label = { transactionId, source, verdict, reason, actor, occurredAt: dependencies.nowMs() }
      const refusal = validateLabel(label)
      if (refusal !== null)
        throw new Problem(422, refusal, `The ledger refuses such a label: ${wordsOf(refusal) ?? refusal}.`)
      reply.header('location', `/transactions/${encodeURIComponent(transactionId)}`)
      const change = { topic: 'fraud.labels', key: transactionId, record: { ...label } } as const
      const { isApplied } = await submitChange(dependencies, request, change)
      const shown = { txn_id: transactionId, source, verdict, status: isApplied ? 'applied' : 'pending' }
      return await reply.status(isApplied ? 200 : 202).send(shown)
    },
  )
}
