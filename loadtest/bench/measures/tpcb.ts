/** pgbench's TPC-B on the same Postgres, in a database of its own: the yardstick that everybody can run. */
import { runProgram } from '#infra/local/programs.ts'
import { OperatingError } from '#platform/errors.ts'
import { dropDatabase, ensureDatabase } from '#platform/postgres/databases.ts'
import type { Lab } from '../lab.ts'
import type { Measurement } from '../measure.ts'
import { MeasureUnavailable } from '../measure-unavailable.ts'

const DATABASE = 'tallystream_tpcb'
/** 10 × 100,000 accounts, more than clients, so that branches aren't the bottleneck alone. */
const SCALE = 10
const CLIENTS = 8
/** Beyond the time that it runs for: connecting, and the end. */
const GRACE_MS = 60_000
const INITIALISE_TIMEOUT_MS = 180_000

/** Runs TPC-B for the lab's seconds. @throws MeasureUnavailable without pgbench */
export async function measureTpcb({ databaseUrl, extent, progress }: Lab): Promise<Measurement> {
  const { url, created } = await ensureDatabase(databaseUrl, DATABASE)
  if (created) {
    progress('making the tables of TPC-B')
    await pgbench(['-i', '-q', '-s', String(SCALE), url], INITIALISE_TIMEOUT_MS)
  }
  const output = await pgbench(
    ['-c', String(CLIENTS), '-j', '2', '-T', String(extent.seconds), '-M', 'prepared', url],
    extent.seconds * 1_000 + GRACE_MS,
  )
  const rate = /tps = ([\d.]+)/.exec(output)?.[1]
  if (rate === undefined) throw new OperatingError('pgbench_failed', `no rate in: ${output.slice(-300)}`)
  return { value: Number(rate), details: { clients: CLIENTS, scale: SCALE, seconds: extent.seconds } }
}

/** Removes its database, where there is one. */
export const removeTpcb = (databaseUrl: string): Promise<void> => dropDatabase(databaseUrl, DATABASE)

async function pgbench(args: readonly string[], timeoutMs: number): Promise<string> {
  const result = await runProgram('pgbench', args, { timeoutMs }).catch((error: unknown) => {
    const { cause } = error as { cause?: { code?: unknown } }
    if (cause?.code !== 'ENOENT') throw error
    throw new MeasureUnavailable('pgbench is not installed (apt-get install postgresql-contrib)')
  })
  if (result.exitCode === 0) return result.stdout
  throw new OperatingError('pgbench_failed', (result.stdout + result.stderr).slice(-500))
}
