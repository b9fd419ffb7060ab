/** Administrative commands and the API's reads stand in the audit log; tampering with it ends `verify` with 1. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startApi } from '#api/server.ts'
import { commandEnvironment, testConfiguration } from '#infra/local/test-names.ts'
import { createLogger } from '#platform/observability/logger.ts'
import { PipelineFixture } from '#processors/testing/pipeline-fixture.ts'

const main = fileURLToPath(new URL('../../main.ts', import.meta.url))
const configuration = testConfiguration('audit log')
let fixture: PipelineFixture

interface Outcome {
  exitCode: number
  json: Record<string, unknown>
  stderr: string
}

const run = (line: string): Promise<Outcome> =>
  new Promise((resolve) => {
    const env = commandEnvironment(configuration.ledger.name, {
      LOG_LEVEL: 'silent',
    })
    execFile(
      process.execPath,
      [main, ...line.split(' '), '--json'],
      { env, timeout: 60_000 },
      (error, stdout, stderr) => {
        const json = stdout === '' ? {} : (JSON.parse(stdout) as Record<string, unknown>)
        resolve({ exitCode: Number(error?.code ?? 0), json, stderr })
      },
    )
  })

beforeAll(async () => {
  fixture = await PipelineFixture.create(configuration)
})
afterAll(() => fixture.close())

it('notes what was done or looked at, by whom and how it ended', async () => {
  await run('migrate')
  await run('cache rebuild')
  await run('rules set')
  await run('accounts freeze nobody --actor tester --wait 0')
  await run('accounts show nobody')
  const { json } = await run('audit log list')
  const entries = json.entries as { action: string; subject: string; actor: string; details: object }[]
  // Not of a wrong usage, which did nothing.
  expect(entries.map(({ action }) => action)).toEqual([
    'cli accounts show',
    'cli accounts freeze',
    'cli cache rebuild',
    'cli migrate',
  ])
  expect(entries[0]).toMatchObject({
    subject: 'nobody',
    details: { exit_code: 1, error: 'account_not_found' },
  })
  expect(entries[1]).toMatchObject({ subject: 'nobody', actor: 'tester' })
  expect(entries[2]).toMatchObject({ details: { exit_code: 0 } })
  expect((await run('audit log list --action migrate')).json.entries).toHaveLength(1)
})

it('does nothing unseen: what can not be noted says so, and does not end well', async () => {
  const { pool } = fixture.ledger
  await pool.query(`alter table audit_log_head rename to elsewhere`)
  await pool.query('create table audit_log_head (seq bigint, hash bytea)')
  const shown = await run('rules list')
  const rebuilt = await run('cache rebuild')
  await pool.query('drop table audit_log_head')
  await pool.query('alter table elsewhere rename to audit_log_head')
  expect(shown.exitCode).toBe(0)
  expect(rebuilt.exitCode).toBe(1)
  expect(rebuilt.stderr).toContain('this is not in the audit log')
})

it('has the API’s reads when it has ended', async () => {
  const api = await startApi({
    configuration: { ...configuration, api: { ...configuration.api, port: 0 } },
    logger: createLogger({ level: 'silent', service: 'tests' }),
  })
  await Promise.all(
    [1, 2, 3].map(() => fetch(`${api.url}/balance/nobody`, { headers: { 'x-actor': 'teller' } })),
  )
  await api.close()
  const { json } = await run('audit log list --actor teller')
  const entries = json.entries as { action: string; details: { count?: number } }[]
  expect(entries.reduce((sum, { details }) => sum + (details.count ?? 1), 0)).toBe(3)
  expect(entries[0]).toMatchObject({
    action: 'GET /balance/:id',
    subject: 'nobody',
    details: { status: 404, trace_id: expect.stringMatching(/^[0-9a-f]{32}$/) },
  })
})

it('is whole until somebody changes it', async () => {
  expect(await run('audit log verify')).toMatchObject({ exitCode: 0, json: { ok: true, findings: [] } })
  await fixture.ledger.pool.query(
    `alter table audit_log disable trigger all; update audit_log set actor = 'nobody' where seq = 2`,
  )
  expect(await run('audit log verify')).toMatchObject({
    exitCode: 1,
    json: { ok: false, findings: [{ table: 'audit_log', key: '2', kind: 'changed' }] },
  })
})
