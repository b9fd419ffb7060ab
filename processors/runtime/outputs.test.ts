/** What is decided can be published: the largest outputs that any record can lead to are below what the output topics take. */
import { expect, test } from 'vitest'
import { FrameWriter, readFrames } from '#domain/ledger/batch-record.ts'
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import { external, MemoryLedger, posting, transaction } from '#domain/ledger/testing/memory-ledger.ts'
import type { Posting, TransactionCommand } from '#domain/transactions/command.ts'
import {
  ACCOUNT_ID_LENGTH_MAX,
  ACTOR_LENGTH_MAX,
  ID_LENGTH_MAX,
  METADATA_ENTRIES_MAX,
  METADATA_KEY_LENGTH_MAX,
  METADATA_VALUE_LENGTH_MAX,
  PARTY_LENGTH_MAX,
  POSTINGS_MAX,
  SOURCE_LENGTH_MAX,
} from '#domain/transactions/limits.ts'
import { TOPICS, topicConfiguration } from '#schemas/topics.ts'
import { encodersOf, localContracts } from '../testing/ledger-fixture.ts'
import { writeOutputs } from './outputs.ts'

const LIMIT_BYTES = Number(topicConfiguration(TOPICS.processed)['max.message.bytes'])
const INGEST_BYTES = Number(topicConfiguration(TOPICS.transactions)['max.message.bytes'])
/** What a record takes beside its value: key, headers, the batch around it. */
const ENVELOPE_BYTES = 64 * 1024

/** As long as a text of that length gets in UTF-8: three bytes a unit. */
const long = (length: number, distinct = ''): string => distinct + '\u20ac'.repeat(length - distinct.length)

/** The largest output of the record, bytes, and how it was decided. */
const decide = (opening: readonly LedgerInput[], input: LedgerInput) => {
  const ledger = new MemoryLedger()
  ledger.apply(opening)
  const writer = new FrameWriter()
  ledger.decide([input], (state, effects) => writeOutputs(writer, encodersOf(localContracts), state, effects))
  const sizes = readFrames(writer.frames()).map(({ key, value }) => key.length + value.length)
  const { status, reason } = ledger.decisions.at(-1)!
  return { largest: Math.max(...sizes), outcome: reason ?? status }
}

test('of the largest transaction that is applied', () => {
  const accounts = Array.from({ length: POSTINGS_MAX * 2 }, (_, n) => long(ACCOUNT_ID_LENGTH_MAX, String(n)))
  const party = long(PARTY_LENGTH_MAX)
  const metadata = Array.from({ length: METADATA_ENTRIES_MAX }, (_, n) => [
    long(METADATA_KEY_LENGTH_MAX, String(n)),
    long(METADATA_VALUE_LENGTH_MAX),
  ])
  const { largest, outcome } = decide(
    accounts.map((id) => external(id)),
    transaction({
      id: long(ID_LENGTH_MAX),
      source: long(SOURCE_LENGTH_MAX),
      actor: long(ACTOR_LENGTH_MAX),
      merchant: party,
      terminal: party,
      device: party,
      metadata: Object.fromEntries(metadata) as Record<string, string>,
      postings: Array.from({ length: POSTINGS_MAX }, (_, n) =>
        posting({ debit: accounts[n * 2]!, credit: accounts[n * 2 + 1]!, amount: 1_000_000_000_000_000n }),
      ),
    }),
  )
  expect(outcome).toBe('applied')
  expect(largest).toBeGreaterThan(100_000)
  expect(largest).toBeLessThan(LIMIT_BYTES / 4)
})

/** Records as large as the ingest topics take, refused for what makes them so. */
const huge = Math.floor(INGEST_BYTES / 3) - 1_000
const emptyPosting: Posting = { debit: '', credit: '', amount: 0n, currency: '' }
test.each<[string, Partial<TransactionCommand>, string]>([
  ['id', { id: long(huge) }, 'id_invalid'],
  ['source', { source: long(huge) }, 'field_too_long'],
  ['merchant', { merchant: long(huge) }, 'field_too_long'],
  ['actor', { actor: long(huge) }, 'field_too_long'],
  ['metadata', { metadata: { note: long(huge) } }, 'field_too_long'],
  ['account', { postings: [posting({ debit: long(huge) })] }, 'field_too_long'],
  [
    'number of postings',
    { postings: Array.from({ length: INGEST_BYTES / 4 }, () => emptyPosting) },
    'postings_count',
  ],
])('of a transaction that is refused for a %s that fills its record', (_name, changes, reason) => {
  const { largest, outcome } = decide([external('alice'), external('bob')], transaction(changes))
  expect(outcome).toBe(reason)
  expect(largest + ENVELOPE_BYTES).toBeLessThan(LIMIT_BYTES)
})
