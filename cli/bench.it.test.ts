/** `bench` as a user runs it, small: one object on standard output, and nothing left behind. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, expect, inject, test } from 'vitest'
import { commandEnvironment, testConfiguration } from '#infra/local/test-names.ts'
import { makeEnginePool } from '#platform/postgres/engine-pool.ts'
import { KafkaAdmin } from '#platform/kafka/admin.ts'
import { makeKafka } from '#platform/kafka/client.ts'

const BIN = fileURLToPath(new URL('bin/tallystream.mjs', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'bench-it-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const bench = async (...words: string[]) => {
  const { stdout } = await promisify(execFile)(process.execPath, [BIN, 'bench', ...words, '--json'], {
    env: commandEnvironment('main'),
  })
  return JSON.parse(stdout)
}

test('a small run gives the whole object, keeps it, and removes its ledgers', {
  timeout: 180_000,
}, async () => {
  const options = ['--transfers', '10000', '--accounts', '100', '--seconds', '1', '--rounds', '1']
  const result = await bench('limit', ...options, '--results', folder)
  expect(Object.keys(result.scenarios)).toEqual(['throughput', 'limit'])
  for (const { min, median, max } of Object.values<Record<string, number>>(result.scenarios)) {
    expect(min).toBeGreaterThan(0)
    expect(median).toBe(min)
    expect(max).toBe(min)
  }
  const { throughput, limit } = result.scenarios
  expect(result.ratios.throughput_to_limit).toBeCloseTo(throughput.median / limit.median, 2)
  expect(result.ratios.throughput_to_tpcb).toBeNull()
  expect(result).toMatchObject({
    rounds: 1,
    left_out: {},
    failed: {},
    setting: { transfers: 10_000, postgres: { fsync: 'on' } },
  })

  const [file] = readdirSync(folder)
  const drift = await bench('compare', join(folder, file!), join(folder, file!))
  expect(drift.ratios).toEqual([expect.objectContaining({ name: 'throughput_to_limit', ratio: 1 })])

  const configuration = testConfiguration('bench')
  const pool = makeEnginePool(
    { ...configuration.postgres, schema: 'public' },
    { applicationName: 'tests', connectionsMax: 1 },
  )
  const { rows } = await pool.query(
    `select nspname from pg_namespace where nspname like 'tallystream_bench%'`,
  )
  await pool.end()
  expect(rows).toEqual([])
  expect(inject('stackEndpoints').kafkaBrokers).toBeDefined()
  const admin = new KafkaAdmin(makeKafka(configuration.kafka, { clientId: 'tests' }))
  const counts = await admin.partitionCounts([]).finally(() => admin.close())
  expect([...counts.keys()].filter((name) => name.startsWith('bench_'))).toEqual([])
})
