/** From a dead letter to the record that is published in its place: the stored bytes, or mended ones; refused where neither will do. */
import { hash } from 'node:crypto'
import { deadLetterName } from '#domain/ledger/dead-letters.ts'
import { maskCardNumbersInBytes } from '#domain/transactions/card-numbers.ts'
import { ID_LENGTH_MAX } from '#domain/transactions/limits.ts'
import { OperatingError } from '#platform/errors.ts'
import type { StoredDeadLetter } from '#platform/postgres/queries/read-dead-letter.ts'

/** What a record of an ingest topic may have at most, bytes: what lies above is refused by the engine too. */
const VALUE_BYTES_MAX = 1024 * 1024

export interface RetryChanges {
  /** Mended bytes instead of the stored ones. */
  readonly value?: Buffer | undefined
  /** Instead of the stored content type; only with `value`. */
  readonly contentType?: string | undefined
  /** For an id that other content has taken: publish it under this one. */
  readonly newId?: string | undefined
  /** Also where it was retried before. */
  readonly again?: boolean | undefined
}

export interface RetryRecord {
  /** Without the ledger's prefix. */
  readonly topic: string
  readonly partition: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Record<string, string>
  /** Parameters of the command that says so, beside the new position. */
  readonly parameters: Record<string, string>
}

const refused = (code: string, message: string): OperatingError => new OperatingError(code, message)

/**
 * The record to publish.
 * @throws OperatingError `dead_letter_stretch` (it stands for several records), `dead_letter_closed` (discarded, or retried before), `dead_letter_cut`, `dead_letter_masked` (the stored
 * bytes aren't the record's), `id_conflict` (the same bytes would conflict again), `card_number_refused`, `too_large`
 */
export function retryRecord(letter: StoredDeadLetter, changes: RetryChanges): RetryRecord {
  expectOpen(letter, changes)
  const value = retryValue(letter, changes)
  const name = deadLetterName(letter)
  const original = letter.valueSha256.toString('hex')
  const contentType = changes.contentType ?? letter.contentType
  return {
    topic: letter.topic,
    // The same partition: what stands behind it there must not be passed by it on a way of its own.
    partition: letter.partition,
    key: letter.key,
    value,
    headers: {
      ...(contentType === null ? {} : { 'content-type': contentType }),
      'retry-of': name,
      'retry-of-sha256': original,
    },
    parameters: {
      original_sha256: original,
      published_sha256: hash('sha256', value ?? Buffer.alloc(0), 'hex'),
      mended: String(changes.value !== undefined || changes.newId !== undefined),
    },
  }
}

function expectOpen(letter: StoredDeadLetter, { again = false }: RetryChanges): void {
  const name = deadLetterName(letter)
  const by = letter.decided === null ? '' : ` by ${letter.decided.actor}`
  if (letter.status === 'discarded') throw refused('dead_letter_closed', `${name} was discarded${by}`)
  if (letter.status === 'retried' && !again)
    throw refused('dead_letter_closed', `${name} was retried${by}; --again publishes it once more`)
}

function retryValue(letter: StoredDeadLetter, changes: RetryChanges): Buffer | null {
  const name = deadLetterName(letter)
  if (letter.firstOffset !== null)
    throw refused(
      'dead_letter_stretch',
      `${name} stands for the records from offset ${letter.firstOffset} on: their producer must send them again`,
    )
  if (changes.value !== undefined) return checked(changes.value)
  if (letter.kept === 'cut')
    throw refused(
      'dead_letter_cut',
      `${name}: only the beginning of its value is stored; give all of it by --value-file`,
    )
  if (letter.kept === 'masked')
    throw refused(
      'dead_letter_masked',
      `${name}: card numbers in its value were masked; give a value with tokens by --value-file`,
    )
  if (letter.reason !== 'id_conflict') return letter.value
  if (changes.newId === undefined)
    throw refused(
      'id_conflict',
      `${name}: its id is taken by other content, now as before; name another by --new-id`,
    )
  return checked(withId(letter.value!, changes.newId))
}

function checked(value: Buffer): Buffer {
  if (value.length > VALUE_BYTES_MAX)
    throw refused('too_large', `expected a value of at most ${VALUE_BYTES_MAX} bytes, found ${value.length}`)
  if (maskCardNumbersInBytes(value) !== value)
    throw refused('card_number_refused', 'the value holds a card number: only tokens may be published')
  return value
}

/** A conflict is kept as the record's JSON; only its id changes. */
function withId(value: Buffer, id: string): Buffer {
  if (id.length === 0 || id.length > ID_LENGTH_MAX)
    throw refused('id_invalid', `expected --new-id of 1 to ${ID_LENGTH_MAX} characters, got ${id.length}`)
  return Buffer.from(JSON.stringify({ ...(JSON.parse(value.toString('utf8')) as object), id }))
}
