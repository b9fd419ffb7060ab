/**
 * Compares an imported card history with the CSV file itself, to the cent: `node loadtest/check-csv-import.ts FILE [--json]`.
 * Independent of the importer: zcat, split at commas, plain sums. Exit codes as the command line's: 0 equal, 1 differs, 2 usage.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { readRunningEndpoints } from '#infra/local/state.ts'
import { resolveConfiguration } from '#platform/config/configuration.ts'
import { processEnvironment } from '#platform/config/environment.ts'
import { ConfigurationError, UnreachableError } from '#platform/errors.ts'
import { makePool, type ReadPool } from '#platform/postgres/pool.ts'

export interface CsvCheckResult {
  readonly rows: number
  /** Rows without an amount: nothing can be posted for them, the importer rejects them. */
  readonly rowsWithoutAmount: number
  readonly accounts: number
  /** Sum of all amounts, cents, in the file and in the ledger. */
  readonly sumInFile: bigint
  readonly sumInLedger: bigint
  readonly appliedInLedger: number
  readonly differences: readonly string[]
}

const SOURCE = 'card-history'
const CURRENCY_NUMERIC = 840
const DIFFERENCES_MAX = 50

interface FileSums {
  rows: number
  rowsWithoutAmount: number
  sum: number
  /** Credits less debits by account id, cents; below 2^53 by far. */
  readonly accounts: Map<string, number>
}

/** Columns: tx_id, epoch, customer_id, terminal_id, amount_cents, … */
async function sumFile(file: string): Promise<FileSums> {
  const zcat = spawn('zcat', ['-f', file], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(zcat, 'close')
  const sums: FileSums = { rows: 0, rowsWithoutAmount: 0, sum: 0, accounts: new Map() }
  const add = (account: string, cents: number) =>
    sums.accounts.set(account, (sums.accounts.get(account) ?? 0) + cents)
  let isHeader = true
  for await (const line of createInterface({ input: zcat.stdout })) {
    if (isHeader || line === '') {
      isHeader = false
      continue
    }
    const cells = line.split(',')
    const cents = Number(cells[4])
    sums.rows += 1
    if (cents === 0) {
      sums.rowsWithoutAmount += 1
      continue
    }
    sums.sum += cents
    add(`card:${cells[2]}`, -cents)
    add(`terminal:${cells[3]}`, cents)
  }
  const [code] = await ended
  if (code !== 0) throw new ConfigurationError(`expected a file that zcat reads, found ${file}`)
  return sums
}

/** Compares the sums of every account, the number of applied transactions and the total with the ledger. */
export async function checkCsvImport(file: string, pool: ReadPool): Promise<CsvCheckResult> {
  const sums = await sumFile(file)
  const differences: string[] = []
  const differ = (text: string) => {
    if (differences.length < DIFFERENCES_MAX) differences.push(text)
  }
  const rows = await pool.query<{ account_id: string; currency: number; posted: bigint; reserved: bigint }>({
    text: `select account_id, currency, posted, reserved from accounts
      where account_id like 'card:%' or account_id like 'terminal:%'`,
  })
  const ledger = new Map(rows.map((row) => [row.account_id, row]))
  for (const [account, cents] of sums.accounts) {
    const row = ledger.get(account)
    if (row === undefined) differ(`${account}: expected ${cents}, found no such account`)
    else if (row.posted !== BigInt(cents)) differ(`${account}: expected ${cents}, found ${row.posted}`)
    else if (row.reserved !== 0n || row.currency !== CURRENCY_NUMERIC) {
      differ(`${account}: expected USD with nothing reserved, found ${row.currency} and ${row.reserved}`)
    }
  }
  for (const { account_id, posted } of rows) {
    if (posted !== 0n && !sums.accounts.has(account_id))
      differ(`${account_id}: not in the file, found ${posted}`)
  }
  const applied = await readApplied(pool)
  const expected = sums.rows - sums.rowsWithoutAmount
  if (applied.count !== expected) differ(`applied transactions: expected ${expected}, found ${applied.count}`)
  if (applied.sum !== BigInt(sums.sum)) differ(`sum of postings: expected ${sums.sum}, found ${applied.sum}`)
  return {
    rows: sums.rows,
    rowsWithoutAmount: sums.rowsWithoutAmount,
    accounts: sums.accounts.size,
    sumInFile: BigInt(sums.sum),
    sumInLedger: applied.sum,
    appliedInLedger: applied.count,
    differences,
  }
}

/** Applied transactions of the import and the sum of their postings, straight from the append-only tables. */
async function readApplied(pool: ReadPool): Promise<{ count: number; sum: bigint }> {
  const [row] = await pool.query<{ count: bigint; sum: string | null }>(
    {
      text: `select count(distinct t.key) as count, sum(p.amount) as sum from transactions t
        join postings p on p.sequence = t.sequence and p.index = t.index and p.recorded_at = t.recorded_at
        where t.source = $1 and t.status = (select code from codes where list = 'status' and word = 'applied')`,
    },
    [SOURCE],
  )
  return { count: Number(row?.count ?? 0n), sum: BigInt(row?.sum ?? '0') }
}

function textOf(result: CsvCheckResult): string {
  const equal = result.differences.length === 0
  return [
    `${result.rows} rows (${result.rowsWithoutAmount} without an amount), ${result.accounts} accounts`,
    `sum in the file ${result.sumInFile} cents, in the ledger ${result.sumInLedger} cents, ${result.appliedInLedger} applied`,
    equal ? 'equal to the cent' : `${result.differences.length} differences:`,
    ...result.differences,
  ].join('\n')
}

async function main(args: readonly string[]): Promise<number> {
  const file = args.find((arg) => !arg.startsWith('--'))
  if (file === undefined) {
    process.stderr.write('usage: node loadtest/check-csv-import.ts FILE [--json]\n')
    return 2
  }
  const { postgres } = resolveConfiguration(processEnvironment(), { localEndpoints: readRunningEndpoints() })
  const pool = makePool({ ...postgres, applicationName: 'tallystream-check', statementTimeoutMs: 120_000 })
  try {
    const result = await checkCsvImport(file, pool)
    const json = JSON.stringify(
      result,
      (_key, value: unknown) => (typeof value === 'bigint' ? `${value}` : value),
      2,
    )
    process.stdout.write(`${args.includes('--json') ? json : textOf(result)}\n`)
    return result.differences.length === 0 ? 0 : 1
  } finally {
    await pool.close()
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    process.exitCode = await main(process.argv.slice(2))
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`)
    process.exitCode = error instanceof ConfigurationError ? 2 : error instanceof UnreachableError ? 3 : 1
  }
}
