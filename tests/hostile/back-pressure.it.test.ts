/**
 * More comes in than Postgres takes: through a slow line, while somebody else holds the head, while Postgres is killed and started
 * again. The lag grows, the engine's memory doesn't, and then all of it is applied, once.
 */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { transactionValue } from '#connectors/ingest/wire.ts'
import { transactionCommand } from '#domain/transactions/testing/fixtures.ts'
import { type RunningStack, resetStack, startStack } from '#infra/local/stack.ts'
import { freshLedgerName } from '#infra/local/test-names.ts'
import { TcpProxy } from '#loadtest/faults/proxy/tcp-proxy.ts'
import { resolveConfiguration } from '#platform/config/configuration.ts'
import { encoderOf } from '#platform/schema-registry/contracts.ts'
import { HostileRun } from './hostile-run.ts'

const RECORDS = 4_500
const SLICE = 500
const PARTITIONS = 8
/** Each record carries so many, so that all of them are far more than may be in memory; none like one nearby, or they'd be packed. */
const NOTES = 30
const SOME_NOTES = Array.from({ length: 600 }, () =>
  randomBytes(375).toString('base64').replaceAll(/\d/g, '-'),
)
const LINE_DELAY_MS = 2
const POSTGRES_AWAY_MS = 1_000
/** Long enough to read it all, were there no limit. */
const STANDSTILL_MS = 2_000
/** While nothing can be applied: measured 36 to 51 MiB with buffers of 1 MiB a partition, 114 MiB for 73 MiB sent without a limit. */
const MEMORY_GROWTH_MAX_MIB = 60
const APPLY_TIMEOUT_MS = 200_000
const MEBIBYTE = 1024 * 1024
const ENVIRONMENT = {
  BUFFER_BYTES_PER_PARTITION_MAX: String(MEBIBYTE),
  BATCH_BYTES_MAX: String(MEBIBYTE),
  // Holds what the engine needs, far from all that is sent; without a limit V8 lets garbage lie.
  NODE_OPTIONS: '--max-old-space-size=192',
}

const dataDir = mkdtempSync(join(tmpdir(), 'tallystream-pressure-'))
let stack: RunningStack
let line: TcpProxy
let run: HostileRun

beforeAll(async () => {
  stack = await startStack({ dataDir, services: ['postgres'] })
  const direct = () => new URL(stack.endpoints.databaseUrl!)
  line = await TcpProxy.open({ upstreamPort: () => Number(direct().port) })
  const settings = { LEDGER: freshLedgerName('pressure'), LOG_LEVEL: 'warn' }
  const resolve = (databaseUrl: string) =>
    resolveConfiguration(settings, { localEndpoints: { ...inject('stackEndpoints'), databaseUrl } })
  const proxied = direct()
  proxied.port = String(line.port)
  run = await HostileRun.start(resolve(direct().href), {
    engineConfiguration: resolve(proxied.href),
    environment: ENVIRONMENT,
  })
})
afterAll(async () => {
  await run?.close()
  await line?.close()
  await resetStack({ dataDir })
  rmSync(dataDir, { recursive: true, force: true })
})

/** Sends everything as fast as the broker takes it. @returns MiB */
async function sendAll(): Promise<number> {
  const encoder = encoderOf<unknown>(run.fixture.contracts.transactions)
  let noted = 0
  const notes = () =>
    Object.fromEntries(
      Array.from({ length: NOTES }, (_, place) => [
        `note ${place}`,
        SOME_NOTES[noted++ % SOME_NOTES.length]!,
      ]),
    )
  let bytes = 0
  for (let first = 0; first < RECORDS; first += SLICE) {
    const values = Array.from({ length: SLICE }, (_, place) =>
      encoder.encode(
        transactionValue(
          transactionCommand({ id: `p${first + place}`, metadata: notes(), occurredAt: Date.now() }),
        ),
      ),
    )
    for (const value of values) bytes += value.length
    await run.fixture.publish(
      values.map((value, place) => ({
        topic: 'transactions',
        key: null,
        value,
        partition: place % PARTITIONS,
      })),
    )
  }
  return Math.round(bytes / MEBIBYTE)
}

test('the lag grows, memory does not, and all of it is applied once when Postgres is well again', {
  timeout: 600_000,
}, async () => {
  line.delayMs = LINE_DELAY_MS
  const blocker = await run.fixture.ledger.pool.connect()
  await blocker.query(`begin; set local transaction_timeout = 0; set local idle_in_transaction_session_timeout = 0;
    select 1 from ledger_head for update`)
  const { peakMiB: beforeMiB } = run.memory
  const sentMiB = await sendAll()
  const lag = Object.values(await run.lags()).reduce((sum, each) => sum + each, 0)
  expect(lag).toBeGreaterThan(RECORDS * 0.9)
  await sleep(STANDSTILL_MS)
  const growthMiB = run.memory.peakMiB - beforeMiB
  await blocker.query('rollback')
  blocker.release()

  // In the middle of catching up.
  await untilLagBelow(RECORDS * 0.85)
  stack.service('postgres').kill('SIGKILL')
  await sleep(POSTGRES_AWAY_MS)
  await stack.service('postgres').restart()
  line.delayMs = 0
  await run.untilApplied(APPLY_TIMEOUT_MS)

  const { applied, lost, twice, rejected, duplicates } = await run.accountFor()
  expect({ applied, lost, twice, rejected, duplicates }).toEqual({
    applied: RECORDS,
    lost: [],
    twice: [],
    rejected: 0,
    duplicates: 0,
  })
  expect(await run.fixture.ledger.differences()).toEqual([])
  expect(run.engine.state).toBe('running')
  process.stderr.write(`back-pressure: of ${sentMiB} MiB the engine took in ${growthMiB} MiB\n`)
  expect(growthMiB).toBeLessThan(MEMORY_GROWTH_MAX_MIB)
  expect(sentMiB).toBeGreaterThan(MEMORY_GROWTH_MAX_MIB)
})

async function untilLagBelow(records: number): Promise<void> {
  const deadline = Date.now() + APPLY_TIMEOUT_MS
  for (;;) {
    const lag = Object.values(await run.lags()).reduce((sum, each) => sum + each, 0)
    if (lag < records) return
    if (Date.now() > deadline) throw new Error(`the lag is still ${lag}`)
    await sleep(100)
  }
}
