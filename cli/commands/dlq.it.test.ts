/** `dlq` as a process of its own beside a running engine: what an operator sees and does about records that could not be read. */
import { spawn } from 'node:child_process'
import { hash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiServer, startApi } from '#api/server.ts'
import { accountValue, transactionValue } from '#connectors/ingest/wire.ts'
import { START_MS } from '#domain/ledger/testing/memory-ledger.ts'
import { accountChange, transactionCommand } from '#domain/transactions/testing/fixtures.ts'
import { commandEnvironment, testConfiguration } from '#infra/local/test-names.ts'
import { readToEnd, testConsumer } from '#platform/kafka/kafka.fixtures.ts'
import type { OutgoingRecord } from '#platform/kafka/producer.ts'
import { createLogger } from '#platform/observability/logger.ts'
import { encoderOf } from '#platform/schema-registry/contracts.ts'
import { PipelineFixture } from '#processors/testing/pipeline-fixture.ts'

const CARD_NUMBER = '4111111111111111'
const program = fileURLToPath(new URL('../main.ts', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'tallystream-dlq-'))
const configuration = testConfiguration('dlq')
let fixture: PipelineFixture
let api: ApiServer

beforeAll(async () => {
  fixture = await PipelineFixture.create(configuration)
  await fixture.start(['processor', 'publisher'])
  await fixture.applied(
    await fixture.publishValues('accounts', [
      accountValue(accountChange({ accountId: 'alice', limited: false })),
      accountValue(accountChange({ accountId: 'bob' })),
    ]),
  )
  api = await startApi({ configuration, logger: createLogger({ level: 'silent', service: 'test' }) })
})
afterAll(async () => {
  await api?.close()
  await fixture?.close()
  rmSync(folder, { recursive: true, force: true })
})

type Document = Record<string, unknown>

/** Runs `dlq …`; with --json standard output must be exactly one document. */
async function dlq(words: readonly string[]): Promise<{ exitCode: number | null; stdout: string }> {
  const env = commandEnvironment(configuration.ledger.name, {
    NODE_COMPILE_CACHE: join(folder, 'compile-cache'),
  })
  const child = spawn(process.execPath, [program, 'dlq', ...words], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  child.stdout.on('data', (chunk) => (stdout += chunk))
  child.stderr.resume()
  return new Promise((resolve) => child.once('close', (exitCode) => resolve({ exitCode, stdout })))
}
async function json(words: readonly string[], exitCode = 0): Promise<Document> {
  const outcome = await dlq([...words, '--json'])
  expect(outcome.exitCode, `${words.join(' ')}\n${outcome.stdout}`).toBe(exitCode)
  return JSON.parse(outcome.stdout) as Document
}
const write = (words: readonly string[], exitCode = 0): Promise<Document> =>
  json([...words, '--wait', '60', '--actor', 'olga'], exitCode)

/** Publishes a record that can't be read to partition 0 and waits for it. @returns its name as a dead letter */
async function letterOf(value: Buffer | string, more: Partial<OutgoingRecord> = {}): Promise<string> {
  const record = { topic: 'transactions', key: 'k1', value: Buffer.from(value), partition: 0, ...more }
  const [position] = await fixture.publish([record])
  await fixture.applied([position!])
  return `${record.topic}:0:${position!.offset}`
}

const payment = (id: string) => ({
  id,
  source: 'bank',
  postings: [{ debit: 'alice', credit: 'bob', amount: '100', currency: 'EUR' }],
  actor: 'tester',
  occurredAt: START_MS,
})
const fileOf = (content: string): string => {
  const path = join(folder, hash('sha256', content, 'hex').slice(0, 12))
  writeFileSync(path, content)
  return path
}
const balanceOfBob = async () => Number((await fixture.ledger.balances()).get('bob')!.posted)

describe('looking', () => {
  it('lists with filters and pages, and shows one with its bytes', async () => {
    const broken = await letterOf('{"id":')
    const typed = await letterOf('<a/>', { headers: { 'content-type': 'text/xml' } })
    const all = await json(['list'])
    expect((all.letters as Document[]).map(({ letter }) => letter)).toEqual([typed, broken])
    const page = await json(['list', '--limit', '1'])
    const rest = await json(['list', '--limit', '1', '--after', String(page.next)])
    expect((rest.letters as Document[]).map(({ letter }) => letter)).toEqual([broken])
    const some = await json(['list', '--reason', 'content_type_unknown', '--topic', 'transactions'])
    expect(some).toMatchObject({ letters: [{ letter: typed, status: 'open', kept: 'whole' }], next: null })
    expect(await json(['list', '--status', 'discarded'])).toMatchObject({ letters: [] })
    expect(await json(['list', '--until', '2001-01-01T00:00:00Z'])).toMatchObject({ letters: [] })
    expect(await json(['show', broken])).toMatchObject({
      letter: broken,
      reason: 'json_invalid',
      value_bytes: '6',
      value_sha256: hash('sha256', '{"id":', 'hex'),
      key: { encoding: 'text', data: 'k1' },
      value: { encoding: 'text', data: '{"id":' },
      decided: null,
    })
    expect(await json(['show', broken, '--as', 'hex'])).toMatchObject({
      value: { encoding: 'hex', data: '7b226964223a' },
    })
    expect((await dlq(['show', broken])).stdout).toContain('json_invalid')
  })

  it('says what is no letter', async () => {
    expect(await json(['show', 'nonsense'], 2)).toMatchObject({ error: { code: 'configuration_invalid' } })
    expect(await json(['show', 'transactions:0:999999'], 1)).toMatchObject({
      error: { code: 'dead_letter_unknown' },
    })
    expect(await json(['retry'], 2)).toMatchObject({ error: { code: 'configuration_invalid' } })
    expect(await json(['retry', '--all'], 2)).toMatchObject({ error: { code: 'configuration_invalid' } })
  })

  it('is in the API as well, without bytes', async () => {
    const reply = await fetch(`${api.url}/dead-letters?reason=json_invalid&limit=1`)
    expect(reply.status).toBe(200)
    const [letter] = (await reply.json()) as Document[]
    expect(letter).toMatchObject({ reason: 'json_invalid', status: 'open', decided: null })
    expect(letter).not.toHaveProperty('value')
    const wrong = await fetch(`${api.url}/dead-letters?since=yesterday`)
    expect(wrong.status).toBe(400)
  })
})

describe('discarding', () => {
  it('is on record with who and why, once', async () => {
    const letter = await letterOf('{')
    const reason = ['--reason', 'test data of the partner']
    expect(await write(['discard', letter, ...reason])).toMatchObject({
      result: 'applied',
      status: 'discarded',
      decided: { actor: 'olga', reason: 'test data of the partner' },
    })
    expect(await write(['discard', letter, ...reason], 1)).toMatchObject({
      result: 'refused',
      reason: 'dead_letter_closed',
    })
    expect(await write(['retry', letter], 1)).toMatchObject({ error: { code: 'dead_letter_closed' } })
  })
})

describe('retrying', () => {
  it('the same bytes is the same result, on record with the new place', async () => {
    const letter = await letterOf('{"id"')
    const retried = await write(['retry', letter, '--note', 'perhaps now'], 1)
    expect(retried).toMatchObject({ result: 'refused', reason: 'json_invalid', transaction: null })
    const { topic, partition, offset } = retried.position as Record<string, string>
    expect(await json(['show', letter])).toMatchObject({
      status: 'retried',
      decided: { actor: 'olga', reason: 'perhaps now', parameters: { offset, mended: 'false' } },
    })
    const again = await json(['show', `${topic}:${partition}:${offset}`])
    expect(again).toMatchObject({ status: 'open', value: { data: '{"id"' }, key: { data: 'k1' } })
    const consumer = testConsumer([fixture.topic('transactions')])
    await consumer.consumer.start()
    const records = await readToEnd(consumer, fixture.topic('transactions'))
    await consumer.consumer.stop()
    const published = records.find((record) => record.partition === 0 && record.offset === BigInt(offset!))
    expect(published?.headers?.['retry-of']?.toString()).toBe(letter)
  })

  it('what was masked or cut needs mended bytes, and takes effect with them', async () => {
    const letter = await letterOf(`{"pan":"${CARD_NUMBER}"`)
    expect((await dlq(['show', letter])).stdout).not.toContain(CARD_NUMBER)
    expect(await write(['retry', letter], 1)).toMatchObject({ error: { code: 'dead_letter_masked' } })
    const long = await letterOf(`{"note":"${'x'.repeat(20_000)}`)
    expect(await write(['retry', long], 1)).toMatchObject({ error: { code: 'dead_letter_cut' } })
    const before = await balanceOfBob()
    const mended = fileOf(JSON.stringify(payment('mended')))
    expect(await write(['retry', letter, '--value-file', mended])).toMatchObject({
      result: 'applied',
      transaction: { txn_id: 'mended', outcome: 'applied' },
    })
    expect(await balanceOfBob()).toBe(before + 100)
    expect(await write(['retry', letter, '--value-file', mended], 1)).toMatchObject({
      error: { code: 'dead_letter_closed' },
    })
    expect(await json(['show', letter])).toMatchObject({
      decided: {
        parameters: { mended: 'true', original_sha256: (await json(['show', letter])).value_sha256 },
      },
    })
  })

  it('a conflict needs another id', async () => {
    const before = await balanceOfBob()
    const body = (changes: object) => JSON.stringify({ ...payment('taken'), ...changes })
    await letterOf(body({}))
    const letter = await letterOf(body({ actor: 'somebody else' }))
    expect(await write(['retry', letter], 1)).toMatchObject({ error: { code: 'id_conflict' } })
    expect(await write(['retry', letter, '--new-id', 'free'])).toMatchObject({
      transaction: { txn_id: 'free', outcome: 'applied' },
    })
    expect(await balanceOfBob()).toBe(before + 200)
  })

  it('all of one reason, oldest first and bounded, says what came of them', async () => {
    // As an engine left them that had no way to this schema: their bytes are good.
    const encoder = encoderOf<unknown>(fixture.contracts.transactions)
    for (const index of [0, 1, 2]) {
      const value = encoder.encode(
        transactionValue(transactionCommand({ id: `late-${index}`, occurredAt: START_MS })),
      )
      await fixture.ledger.rows(
        `insert into dead_letters values (1, $1::int, 'transactions', 1, $1::int, 'schema_unknown', 'unknown', null, $2, $3,
           sha256($2), null, now())`,
        [1000 + index, value, value.length],
      )
    }
    const masked = await letterOf(Buffer.from([0, 0x7f, 0, 0, 0, ...Buffer.from(CARD_NUMBER)]))
    const all = ['retry', '--all', '--reason', 'schema_unknown', '--rate', '500']
    expect(await write([...all, '--max', '2'])).toEqual({
      retried: 2,
      skipped: [],
      dead_again: 0,
      complete: false,
    })
    expect(await write(all, 1)).toEqual({
      retried: 1,
      skipped: [{ letter: masked, code: 'dead_letter_masked' }],
      dead_again: 0,
      complete: true,
    })
    const history = await fixture.ledger.history()
    expect(history.filter(({ id }) => id.startsWith('late-')).map(({ id, status }) => [id, status])).toEqual([
      ['late-0', 'applied'],
      ['late-1', 'applied'],
      ['late-2', 'applied'],
    ])
  })
})
