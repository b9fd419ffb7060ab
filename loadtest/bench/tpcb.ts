/** pgbench's TPC-B on the same Postgres, in a database of its own: the yardstick that everybody can run. */
import { spawn } from 'node:child_process'
import { OperatingError } from '#platform/errors.ts'
import { ensureDatabase } from '#platform/postgres/databases.ts'

export interface TpcbResult {
  readonly transactionsPerSecond: number
  readonly clients: number
  readonly seconds: number
}

const DATABASE = 'tallystream_tpcb'
/** 10 × 100,000 accounts, more than clients, so that branches aren't the bottleneck alone. */
const SCALE = 10

const run = (args: readonly string[], timeoutMs: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const child = spawn('pgbench', args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs })
    let output = ''
    child.stdout.on('data', (data) => {
      output += data
    })
    child.stderr.on('data', (data) => {
      output += data
    })
    child.on('error', (error) =>
      reject(
        new OperatingError(
          'pgbench_missing',
          'pgbench is not installed: apt-get install postgresql-contrib',
          {
            cause: error,
          },
        ),
      ),
    )
    child.on('exit', (code) => {
      if (code === 0) resolve(output)
      else reject(new OperatingError('pgbench_failed', output.slice(-500)))
    })
  })

/** Runs TPC-B. @param databaseUrl of the server; its database is left alone */
export const measureTpcb = async (
  databaseUrl: string,
  options: { clients: number; seconds: number },
): Promise<TpcbResult> => {
  const { url, created } = await ensureDatabase(databaseUrl, DATABASE)
  if (created) await run(['-i', '-q', '-s', String(SCALE), url], 120_000)
  const { clients, seconds } = options
  const output = await run(
    ['-c', String(clients), '-j', '2', '-T', String(seconds), '-M', 'prepared', url],
    (seconds + 60) * 1_000,
  )
  const rate = /tps = ([\d.]+)/.exec(output)?.[1]
  if (rate === undefined) throw new OperatingError('pgbench_failed', `no rate in: ${output.slice(-300)}`)
  return { transactionsPerSecond: Number(rate), clients, seconds }
}
