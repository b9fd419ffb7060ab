/** A rulebook through Kafka: what it decides can be decided again from the topics, bit for bit, and its back-test finds nothing else. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { accountValue, cardValue, labelValue, ruleValue, transactionValue } from '#connectors/ingest/wire.ts'
import { builtinModelJson, builtinRulebookJson, builtinRulebookWith } from '#domain/fraud/builtin/builtin.ts'
import { PARTY_KINDS } from '#domain/fraud/parties.ts'
import { parseRulebook } from '#domain/fraud/rulebook/parse.ts'
import {
  accountChange,
  cardChange,
  label,
  ruleChange,
  transactionCommand,
} from '#domain/transactions/testing/fixtures.ts'
import { RULEBOOK_LENGTH_MAX } from '#domain/transactions/limits.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { makePool } from '#platform/postgres/pool.ts'
import { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { openArchiver } from './archive/open-archiver.ts'
import { auditReplay } from './auditing.ts'
import { auditVerify } from './auditing-verify.ts'
import { backtestLedger } from './backtesting.ts'
import { PipelineFixture } from './testing/pipeline-fixture.ts'

const startedMs = Date.now()
const folder = mkdtempSync(join(tmpdir(), 'tallystream-rulebook-'))
const configuration = testConfiguration('rulebook', {
  ARCHIVE_URL: pathToFileURL(join(folder, 'objects')).href,
})
const pool = makePool({ ...configuration.postgres, applicationName: 'tests', connectionsMax: 2 })
let fixture: PipelineFixture

beforeAll(async () => {
  fixture = await PipelineFixture.create(configuration, startedMs)
  await fixture.start(['processor', 'publisher'])
})
afterAll(async () => {
  await pool.close()
  await fixture?.close()
  rmSync(folder, { recursive: true, force: true })
})

const definition = JSON.stringify(builtinRulebookWith(builtinModelJson()))
/** As long as one may be, of characters that take three bytes each. */
const longest = (): string => {
  const rulebook = (entries: readonly string[]) =>
    JSON.stringify({ format: 1, name: 'longest', version: 1, lists: { long: entries }, rules: [] })
  const entry = '€'.repeat(253)
  const full = Array.from({ length: 511 }, () => entry)
  return rulebook([...full, '€'.repeat(RULEBOOK_LENGTH_MAX - rulebook([...full, '']).length)])
}
const PAYMENTS = 60
const EARLY = 17
const isFraud = (n: number): boolean => n < 3 || n >= 15
const DAY_MS = 86_400_000

const backtest = async (candidate: unknown, archive = configuration.archive) =>
  await backtestLedger(
    { configuration: { ...configuration, archive }, pool },
    new SchemaRegistry(configuration.schemaRegistry),
    {
      candidate: parseRulebook(candidate),
      fromMs: null,
      signal: new AbortController().signal,
      labelOf: () => null,
      progress: () => undefined,
    },
  )

it('decides with the built-in rulebook and its model, and every decision is proven by replay, rows and back-test', async () => {
  const accounts = ['alice', 'bob', 'carol'].map((accountId) =>
    accountValue(accountChange({ accountId, limited: false })),
  )
  await fixture.applied(await fixture.publishValues('accounts', accounts))
  await fixture.applied(await fixture.publishValues('cards', [cardValue(cardChange())]))
  await fixture.putRulebook(definition)
  const payments = Array.from({ length: PAYMENTS }, (_, n) =>
    transactionValue(
      transactionCommand({
        id: `p${n}`,
        // Most of an hour apart; a few late ones, and one that is far from the usual.
        occurredAt: startedMs - (PAYMENTS - n + (n % 9 === 0 ? 30 : 0)) * 1_800_000,
        country: n === 50 ? 'BR' : 'DE',
        card: n % 4 === 0 ? 'tok_1' : null,
        terminal: n % 3 === 0 ? `till-${n % 2}` : n === 41 ? 'kiosk' : null,
        merchant: n % 2 === 0 ? 'shop' : null,
        device: n % 5 < 3 ? `phone-${n % 5}` : null,
        postings: [
          {
            debit: n % 10 === 9 ? 'carol' : 'alice',
            credit: n % 5 === 0 ? 'carol' : 'bob',
            amount: n % 20 === 19 ? 95_000n : BigInt(1_000 + (n % 7) * 150),
            currency: 'EUR',
          },
        ],
      }),
    ),
  )
  // Ten days before: three of them turn out to be frauds at one till, where the later payments are made too. At a kiosk it
  // is the last two of eleven, a day later.
  const early = Array.from({ length: EARLY }, (_, n) =>
    transactionValue(
      transactionCommand({
        id: `e${n}`,
        occurredAt: startedMs - (n < 15 ? 10 : 9) * DAY_MS + n * 60_000,
        terminal: n < 6 ? 'till-0' : 'kiosk',
        postings: [{ debit: 'bob', credit: 'carol', amount: 900n, currency: 'EUR' }],
      }),
    ),
  )
  await fixture.applied(await fixture.publishValues('transactions', early))
  const labels = early.map(({ id }, n) =>
    labelValue(label({ transactionId: String(id), verdict: isFraud(n) ? 'fraud' : 'genuine' })),
  )
  await fixture.applied(await fixture.publishValues('fraud.labels', labels))
  await fixture.applied(await fixture.publishValues('transactions', payments))
  await fixture.applied(
    await fixture.publishValues('rules', [
      ruleValue(
        ruleChange({
          ruleId: 'rulebook_proposal',
          type: 'rulebook_proposal',
          currency: null,
          threshold: 0n,
          definition: longest(),
        }),
      ),
    ]),
  )
  await fixture.published()
  await fixture.stop()
  expect(fixture.incidents).toEqual([])

  const signal = new AbortController().signal
  const result = await backtest(JSON.parse(definition))
  expect(result).toMatchObject({
    payments: PAYMENTS + EARLY,
    labelled: EARLY,
    changed: 0,
    candidate: result.decided,
  })
  expect(result.decided.alerts + result.decided.holds).toBeGreaterThan(1)
  expect(result.rules.find(({ ruleId }) => ruleId === 'terminal_risk')!.decided).toBeGreaterThan(5)
  for (const { ruleId, decided, candidate } of result.rules) expect(candidate, ruleId).toBe(decided)
  const withoutModel = await backtest(builtinRulebookJson())
  // Too small a share for any rule: it is the model that caught the next payment at the kiosk, since the frauds there are going on.
  expect(withoutModel.examples).toEqual([
    expect.objectContaining({ payment: 'bank/p41', decided: 'alert', candidate: 'none' }),
  ])

  const replay = await auditReplay({
    configuration,
    from: 'earliest',
    to: 'latest',
    checkpoints: folder,
    actor: 'tests',
    onMessage: () => undefined,
    onProgress: () => undefined,
    signal,
  })
  expect(replay).toMatchObject({ differences: 0, transactions: PAYMENTS + EARLY })

  const verified = await auditVerify({
    configuration,
    onMessage: () => undefined,
    onProgress: () => undefined,
    signal,
  })
  expect(verified).toMatchObject({ ok: true, findings: [], transactions: PAYMENTS + EARLY })
  const kept = await fixture.ledger.rows<{ kind: number; rows: number; bytes: number }>(
    'select kind, count(*)::int as rows, max(length(state))::int as bytes from fraud_parties group by kind order by kind',
  )
  expect(kept.map(({ kind, rows }) => [PARTY_KINDS[kind], rows])).toEqual([
    ['card', 1],
    ['terminal', 3],
    ['merchant', 1],
    ['device', 3],
  ])
  for (const { bytes } of kept) expect(bytes).toBeLessThan(1_000)
})

it('a back-test reads from the archive or the topic what is not in Postgres any more, and finds the same', async () => {
  const before = await backtest(JSON.parse(definition))
  const { archiver, close } = openArchiver({
    configuration,
    pool: fixture.ledger.pool,
    kafka: fixture.kafka,
    schemas: fixture.registry,
    holder: 'tests',
    logger: { info: () => undefined, warn: () => undefined },
    onSegment: () => undefined,
    onIncident: (incident) => void fixture.incidents.push(incident),
  })
  await archiver.archiveNow()
  await close()
  const { sequence } = await fixture.ledger.store.readHead()
  const remove = (through: bigint) =>
    fixture.ledger.pool.query('delete from batches where sequence <= $1', [String(through)])
  await remove(sequence / 2n)
  expect(await backtest(JSON.parse(definition))).toEqual(before)
  await remove(sequence)
  expect(await backtest(JSON.parse(definition))).toEqual(before)
  // Without an archive: from the topic, as long as it is whole.
  const noArchive = { ...configuration.archive, url: undefined }
  expect(await backtest(JSON.parse(definition), noArchive)).toEqual(before)
  const processed = fixture.topic('transactions.processed')
  await fixture.admin.deleteRecords(processed, new Map([[0, 1n]]))
  await expect(backtest(JSON.parse(definition), noArchive)).rejects.toMatchObject({ code: 'batches_gone' })
})
