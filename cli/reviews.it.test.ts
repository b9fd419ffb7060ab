/** The review queue by commands, each a process of its own: a second reviewer is demanded, the queue worked, released by two. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { accountValue, ruleValue, transactionValue } from '#connectors/ingest/wire.ts'
import { accountChange, ruleChange, transactionCommand } from '#domain/transactions/testing/fixtures.ts'
import { commandEnvironment, testConfiguration } from '#infra/local/test-names.ts'
import { PipelineFixture } from '#processors/testing/pipeline-fixture.ts'

const main = fileURLToPath(new URL('./main.ts', import.meta.url))
const configuration = testConfiguration('clireviews')
let fixture: PipelineFixture

beforeAll(async () => {
  fixture = await PipelineFixture.create(configuration)
  await fixture.start(['processor', 'publisher', 'ticker'])
  const accounts = ['alice', 'bob'].map((accountId) =>
    accountValue(accountChange({ accountId, limited: false })),
  )
  const rule = ruleValue(
    ruleChange({ ruleId: 'big', type: 'amount_limit', threshold: 1_000n, action: 'hold' }),
  )
  await fixture.applied(await fixture.publishValues('accounts', accounts))
  await fixture.applied(await fixture.publishValues('rules', [rule]))
})
afterAll(async () => {
  await fixture?.close()
})

/** Runs a command with --json. @returns its document, and its exit code */
async function run(...words: string[]): Promise<{ code: number | null; document: Record<string, unknown> }> {
  const child = spawn(process.execPath, [main, ...words, '--json'], {
    env: commandEnvironment(configuration.ledger.name, { LOG_LEVEL: 'warn' }),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.on('data', (part) => {
    text += part
  })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, document: JSON.parse(text) as Record<string, unknown> }
}

test('the queue is worked, and a large payment released by two', async () => {
  const demanded = await run(
    ...['reviews', 'second-reviewer', 'large', '--currency', 'EUR', '--above', '50.00', '--wait', '60'],
  )
  expect(demanded).toMatchObject({ code: 0, document: { result: 'applied' } })
  const neither = await run('reviews', 'second-reviewer', 'all')
  expect(neither.code).toBe(2)
  const held = [2_000n, 90_000n].map((amount, n) =>
    transactionValue(
      transactionCommand({
        id: `held-${n}`,
        source: 'shop',
        occurredAt: Date.now(),
        postings: [{ debit: 'alice', credit: 'bob', amount, currency: 'EUR' }],
      }),
    ),
  )
  await fixture.applied(await fixture.publishValues('transactions', held))
  const named = ['held-1', '--source', 'shop']
  expect(await run('reviews', 'assign', ...named, '--actor', 'ann')).toMatchObject({
    code: 0,
    document: { owner: 'ann' },
  })
  const taken = await run('reviews', 'assign', ...named, '--actor', 'ben')
  expect(taken).toMatchObject({ code: 1, document: { error: { code: 'taken_by_other' } } })
  await run('reviews', 'note', ...named, '--text', 'called', '--actor', 'ann')
  const { document } = await run('reviews', 'queue')
  expect(document).toMatchObject({
    queue: [
      { txn_id: 'held-1', priority: 300, reviewers_needed: 2, owner: 'ann', notes: 1 },
      { txn_id: 'held-0', priority: 200, reviewers_needed: 1, owner: null },
    ],
  })
  const release = ['reviews', 'release', ...named, '--reason', 'known', '--wait', '60', '--actor']
  const alone = await run(...release, 'ann')
  expect(alone).toMatchObject({ code: 1, document: { status: 'refused', reason: 'second_reviewer_needed' } })
  expect(await run(...release, 'ben')).toMatchObject({ code: 0, document: { outcome: 'applied' } })
  expect(await run('reviews', 'show', ...named)).toMatchObject({
    code: 0,
    document: { status: 'released', released_by: 'ann', events: [{ kind: 'assigned' }, { note: 'called' }] },
  })
})
