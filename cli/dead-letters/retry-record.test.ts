/** What may be published in place of a dead letter, and what may not. */
import { hash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { StoredDeadLetter } from '#platform/postgres/queries/read-dead-letter.ts'
import { type RetryChanges, retryRecord } from './retry-record.ts'
import { shownBytes } from './shown-bytes.ts'

const CARD_NUMBER = '4111111111111111'

const letterOf = (changes: Partial<StoredDeadLetter> = {}): StoredDeadLetter => {
  const value = changes.value === undefined ? Buffer.from('{"id":"a"}') : changes.value
  return {
    sequence: 5n,
    index: 1,
    topic: 'transactions',
    partition: 3,
    offset: 42n,
    firstOffset: null,
    reason: 'schema_unknown',
    detail: 'schema 7 is unknown',
    key: Buffer.from('k'),
    value,
    valueBytes: BigInt(value?.length ?? 0),
    valueSha256: hash('sha256', value ?? Buffer.alloc(0), 'buffer'),
    kept: 'whole',
    contentType: 'application/json',
    recordedAt: new Date(0),
    status: 'open',
    decided: null,
    ...changes,
  }
}
const refusal = (letter: StoredDeadLetter, changes: RetryChanges = {}): string => {
  try {
    retryRecord(letter, changes)
    return 'none'
  } catch (error) {
    return (error as { code: string }).code
  }
}

describe('retrying', () => {
  it('publishes the same bytes to the same partition, with where they come from', () => {
    const letter = letterOf()
    const sha256 = letter.valueSha256.toString('hex')
    expect(retryRecord(letter, {})).toEqual({
      topic: 'transactions',
      partition: 3,
      key: Buffer.from('k'),
      value: letter.value,
      headers: {
        'content-type': 'application/json',
        'retry-of': 'transactions:3:42',
        'retry-of-sha256': sha256,
      },
      parameters: { original_sha256: sha256, published_sha256: sha256, mended: 'false' },
    })
    expect(retryRecord(letterOf({ contentType: null }), {}).headers).not.toHaveProperty('content-type')
    expect(retryRecord(letterOf({ value: null }), {}).value).toBeNull()
  })

  it('refuses bytes that are not the record’s, unless mended ones are given', () => {
    expect(refusal(letterOf({ kept: 'cut' }))).toBe('dead_letter_cut')
    expect(refusal(letterOf({ kept: 'masked' }))).toBe('dead_letter_masked')
    const batch = letterOf({ kept: 'cut', firstOffset: 40n })
    expect(refusal(batch, { value: Buffer.from('{}') })).toBe('dead_letter_stretch')
    const letter = letterOf({ kept: 'masked' })
    const value = Buffer.from('{"id":"b"}')
    const record = retryRecord(letter, { value, contentType: 'application/avro' })
    expect(record).toMatchObject({
      value,
      headers: { 'content-type': 'application/avro', 'retry-of-sha256': letter.valueSha256.toString('hex') },
      parameters: { mended: 'true', published_sha256: hash('sha256', value, 'hex') },
    })
  })

  it('refuses mended bytes with a card number, or too many of them', () => {
    expect(refusal(letterOf(), { value: Buffer.from(`{"card":"${CARD_NUMBER}"}`) })).toBe(
      'card_number_refused',
    )
    expect(refusal(letterOf(), { value: Buffer.alloc(1024 * 1024 + 1) })).toBe('too_large')
    expect(refusal(letterOf(), { value: Buffer.alloc(1024 * 1024) })).toBe('none')
  })

  it('refuses a conflict that would only be one again, unless it gets another id', () => {
    const letter = letterOf({ reason: 'id_conflict' })
    expect(refusal(letter)).toBe('id_conflict')
    expect(refusal(letter, { newId: '' })).toBe('id_invalid')
    expect(retryRecord(letter, { newId: 'b' }).value?.toString()).toBe('{"id":"b"}')
  })

  it('refuses what is done with', () => {
    expect(refusal(letterOf({ status: 'discarded' }), { again: true })).toBe('dead_letter_closed')
    expect(refusal(letterOf({ status: 'retried' }))).toBe('dead_letter_closed')
    expect(refusal(letterOf({ status: 'retried' }), { again: true })).toBe('none')
  })
})

describe('bytes for people', () => {
  it('are text where they are text, else hex, or as asked', () => {
    expect(shownBytes(null, 'auto')).toBeNull()
    expect(shownBytes(Buffer.from('grüße\n'), 'auto')).toEqual({ encoding: 'text', data: 'grüße\n' })
    expect(shownBytes(Buffer.from([0, 255]), 'auto')).toEqual({ encoding: 'hex', data: '00ff' })
    expect(shownBytes(Buffer.from('\u001b[2J'), 'auto')?.encoding).toBe('hex')
    expect(shownBytes(Buffer.from('\u001b[2J'), 'text')).toEqual({ encoding: 'text', data: '\u{fffd}[2J' })
    expect(shownBytes(Buffer.from('ab'), 'base64')).toEqual({ encoding: 'base64', data: 'YWI=' })
  })

  it.each(['auto', 'text', 'hex', 'base64'] as const)('show no card number as %s', (form) => {
    const shown = shownBytes(Buffer.from(`pan ${CARD_NUMBER}`), form)!
    const bytes = Buffer.from(shown.data, shown.encoding === 'text' ? 'utf8' : shown.encoding)
    expect(bytes.toString()).toBe('pan ************1111')
  })
})
