/**
 * The HTTP API under load, by autocannon in a process of its own: GET /balance beside the least that such a service could be (one Fastify
 * route, one key of Redis) under the same load; GET /transactions; and GET /balance while thousands of connections are kept open.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runOrFail, runProgram } from '#infra/local/programs.ts'
import { OperatingError } from '#platform/errors.ts'
import { closeRedis, openRedis, untilRedisReady } from '#platform/redis/client.ts'
import type { Lab } from '../lab.ts'
import type { Detail, Measurement } from '../measure.ts'
import { MeasureUnavailable } from '../measure-unavailable.ts'
import { type Served, serve, serveApi } from '../served.ts'
import { significant } from '../statistics.ts'
import { openLedger, planFor, startEngine } from './engine.ts'

const CONNECTIONS = 64
const MANY_CONNECTIONS = 10_000
/** File descriptors of a process besides its connections. */
const OTHER_DESCRIPTORS = 500
/** Each connection of autocannon makes all its requests anew: more take long to begin. */
const ACCOUNTS_ASKED = 200
const GRACE_MS = 120_000
const TRANSACTIONS = 2_000

/** The value is GET /balance a second. Ours and the bare one are asked in turn, twice, each by itself. */
export const measureQuery = (lab: Lab): Promise<Measurement> =>
  lab.withLedger({}, async (ledger) => {
    const plan = await planFor(lab, ledger, { transfers: TRANSACTIONS })
    startEngine(ledger, 1)
    await openLedger(lab, ledger, plan)
    const ids = plan.accounts.slice(0, ACCOUNTS_ASKED).map(({ accountId }) => accountId)
    const { redis } = ledger.configuration
    const barePrefix = `${redis.keyPrefix}bare:`
    await fillBare(redis.url, barePrefix, ids)
    const folder = mkdtempSync(join(tmpdir(), 'tallystream-bench-'))
    const servers: Served[] = []
    try {
      const api = await serveApi(ledger.configuration)
      servers.push(api)
      const bare = await serve(['loadtest/bench/bare-server.ts', redis.url, barePrefix])
      servers.push(bare)
      return await ask(lab, { folder, api: api.url, bare: bare.url, ids })
    } finally {
      for (const server of servers) await server.stop()
      rmSync(folder, { recursive: true, force: true })
    }
  })

async function ask(
  lab: Lab,
  { folder, api, bare, ids }: { folder: string; api: string; bare: string; ids: readonly string[] },
): Promise<Measurement> {
  const har = join(folder, 'balances.har')
  writeFileSync(har, harOf(api, ids))
  const bareHar = join(folder, 'bare.har')
  writeFileSync(bareHar, harOf(bare, ids))
  const { seconds } = lab.extent
  const load = (url: string, options: readonly string[], connections = CONNECTIONS, forSeconds = seconds) =>
    autocannon([...options, '-c', String(connections), '-d', String(forSeconds), url], forSeconds, lab.signal)
  // Whatever is compiled at first use, and what isn't in the cache yet.
  for (const [url, file] of [
    [api, har],
    [bare, bareHar],
  ] as const) {
    await load(url, ['--har', file], CONNECTIONS, 2)
  }
  const ours = [await load(api, ['--har', har])]
  const theirs = [await load(bare, ['--har', bareHar])]
  theirs.push(await load(bare, ['--har', bareHar]))
  ours.push(await load(api, ['--har', har]))
  const transactions = await load(`${api}/transactions?limit=20`, [])
  const kept = await connectionsPossible()
  const many = await load(`${api}/balance/${encodeURIComponent(ids[0]!)}`, [], kept)
  const mean = (runs: readonly Answer[]) => runs.reduce((sum, each) => sum + each.rate, 0) / runs.length
  return {
    value: mean(ours),
    details: {
      bare_per_s: mean(theirs),
      connections: CONNECTIONS,
      latency_ms: latencyOf(ours[1]!),
      bare_latency_ms: latencyOf(theirs[1]!),
      transactions_per_s: significant(transactions.rate),
      kept_connections: kept,
      kept_per_s: significant(many.rate),
      kept_latency_ms: latencyOf(many),
      kept_errors: many.errors,
    },
  }
}

const latencyOf = ({ p50, p99 }: Answer): Detail => ({ p50, p99 })

/** Requests of many accounts in the HTTP Archive format, as far as autocannon reads it. */
const harOf = (url: string, ids: readonly string[]): string =>
  JSON.stringify({
    log: {
      entries: ids.map((id) => ({
        request: { method: 'GET', url: `${url}/balance/${encodeURIComponent(id)}`, headers: [] },
      })),
    },
  })

/** Server and load generator are processes with a limit of their own; both take one descriptor a connection. */
async function connectionsPossible(): Promise<number> {
  const { stdout } = await runOrFail('sh', ['-c', 'ulimit -n'], { timeoutMs: 5_000 })
  const limit = Number(stdout.trim())
  return Number.isFinite(limit) ? Math.min(MANY_CONNECTIONS, limit - OTHER_DESCRIPTORS) : MANY_CONNECTIONS
}

interface Answer {
  readonly rate: number
  readonly p50: number
  readonly p99: number
  readonly errors: number
}

async function autocannon(words: readonly string[], seconds: number, signal: AbortSignal): Promise<Answer> {
  const result = await runProgram(process.execPath, [autocannonFile(), '--json', ...words], {
    timeoutMs: seconds * 1_000 + GRACE_MS,
    signal,
  })
  if (result.exitCode !== 0) {
    throw new OperatingError(
      'program_failed',
      `autocannon ended with ${result.exitCode}: ${result.stderr.slice(-500)}`,
    )
  }
  const found = JSON.parse(result.stdout) as {
    requests: { average: number }
    latency: { p50: number; p99: number }
    non2xx: number
    errors: number
  }
  if (found.non2xx > 0) {
    throw new OperatingError('bench_wrong_result', `${found.non2xx} answers were no success`)
  }
  const { requests, latency, errors } = found
  return { rate: requests.average, p50: latency.p50, p99: latency.p99, errors }
}

/** A package for development: it is absent where only the product is installed. */
function autocannonFile(): string {
  try {
    return createRequire(import.meta.url).resolve('autocannon')
  } catch {
    throw new MeasureUnavailable('autocannon is not installed (npm ci installs it for development)')
  }
}

async function fillBare(url: string, prefix: string, ids: readonly string[]): Promise<void> {
  const redis = openRedis({ url, connectionName: 'bench', commandTimeoutMs: 5_000 })
  try {
    await untilRedisReady(redis, 5_000)
    const value = JSON.stringify({ balance: 12.75, currency: 'USD', cached: true })
    await redis.mset(ids.flatMap((id) => [`${prefix}${id}`, value]))
  } finally {
    closeRedis(redis)
  }
}
