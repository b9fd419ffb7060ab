/** A dead letter as the API and the command line show it; without its bytes. */
import { timeSchema } from '#api/schemas.ts'
import { deadLetterName } from '#domain/ledger/dead-letters.ts'
import type { DeadLetterSummary } from '#platform/postgres/queries/read-dead-letters.ts'

const nullableText = { type: ['string', 'null'] } as const

export const deadLetterSchema = {
  type: 'object',
  properties: {
    letter: { type: 'string', description: 'Its name: topic:partition:offset.' },
    topic: { type: 'string' },
    partition: { type: 'integer' },
    offset: { type: 'string' },
    first_offset: {
      ...nullableText,
      description:
        'Where the letter stands for a stretch of records: its first offset; `offset` is its last.',
    },
    sequence: { type: 'string', description: 'The batch that recorded it.' },
    reason: { type: 'string', description: 'Reason code.' },
    detail: { type: 'string' },
    value_bytes: { type: 'string', description: 'Length of the whole value.' },
    value_sha256: { type: 'string', description: 'SHA-256 of the whole value, hexadecimal.' },
    kept: {
      type: 'string',
      enum: ['whole', 'cut', 'masked'],
      description: 'What is stored of the value: all, its beginning, or all with card numbers masked.',
    },
    content_type: nullableText,
    recorded_at: timeSchema,
    status: { type: 'string', enum: ['open', 'retried', 'discarded'] },
    decided: {
      type: ['object', 'null'],
      description: 'Who decided last.',
      properties: {
        actor: { type: 'string' },
        at: timeSchema,
        reason: nullableText,
        parameters: { type: 'object', additionalProperties: { type: 'string' } },
      },
    },
  },
} as const

/** The letter's fields by their names outside; 64-bit numbers as text. */
export const showDeadLetter = (letter: DeadLetterSummary) => ({
  letter: deadLetterName(letter),
  topic: letter.topic,
  partition: letter.partition,
  offset: letter.offset.toString(),
  first_offset: letter.firstOffset?.toString() ?? null,
  sequence: letter.sequence.toString(),
  reason: letter.reason,
  detail: letter.detail,
  value_bytes: letter.valueBytes.toString(),
  value_sha256: letter.valueSha256.toString('hex'),
  kept: letter.kept,
  content_type: letter.contentType,
  recorded_at: letter.recordedAt.toISOString(),
  status: letter.status,
  decided:
    letter.decided === null
      ? null
      : {
          actor: letter.decided.actor,
          at: letter.decided.at.toISOString(),
          reason: letter.decided.reason,
          parameters: letter.decided.parameters,
        },
})
