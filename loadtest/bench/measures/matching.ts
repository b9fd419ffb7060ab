/**
 * Matching: as many statement lines on the topic `statements` as there are entries on a nostro account, both there before the reconciler
 * begins, until every match and break is committed. The entries are written by plain SQL: what the ledger needs for them is measured
 * elsewhere. What must match is known of each pair, so a wrong result is no rate.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { encoderOf } from '#platform/schema-registry/contracts.ts'
import { OperatingError } from '#platform/errors.ts'
import type { StatementValue } from '#domain/statements/record.ts'
import type { BenchLedger, Lab } from '../lab.ts'
import type { Measurement } from '../measure.ts'
import { processFigures } from '../engine-figures.ts'
import { significant } from '../statistics.ts'
import { resetStatements, statementTimes } from '../statement-times.ts'
import { CURRENCY_NUMERIC, openBareAccounts } from './bare-ledger.ts'

const PAIR = 'bench'
const BANK_ACCOUNT = 'BENCH0001'
/** Entries of one batch of the ledger, and lines of one statement. */
const BATCH = 1_000
/** Of so many payments one comes without a reference at the bank, and one is missing there. */
const UNREFERENCED = 20
const MISSING = 100
const TIMEOUT_MS = 900_000
const POLL_MS = 50
/** Beyond it the collector takes more and more of the time: about 2 KB an item. */
const HEAP_MIB = 6_144

const WRITE_TRANSACTIONS = `insert into transactions (recorded_at, sequence, index, key, id, source, kind, cause, status,
    end_to_end_id, occurred_at, value_at, topic, partition, "offset", actor)
  select $2, 1 + n / ${BATCH}, n % ${BATCH}, md5(n::text)::uuid, 'pay-' || n, 'bench', 0, 0, 0, 'REF' || n, $2, $2,
    'transactions', n % 8, n / 8, 'bench'
  from generate_series(0, $1::integer - 1) as n`
const WRITE_POSTINGS = `insert into postings (recorded_at, sequence, index, posting, debit_no, credit_no, amount, currency,
    debit_posted, credit_posted, value_at)
  select $2, 1 + n / ${BATCH}, n % ${BATCH}, 0, 0, 1, 100000 + n, ${CURRENCY_NUMERIC}, 0, 0, $2
  from generate_series(0, $1::integer - 1) as n`
const LOOK = `select p.version, p.ledger_sequence as sequence,
  coalesce((select next_offset from recon_offsets where reader = $1 and topic = 'statements'), 0) as read
  from recon_pairs p where p.pair = $1`

/** Takes the lab's number of transfers as the number of entries and of lines. */
export const measureMatching = (lab: Lab): Promise<Measurement> =>
  lab.withLedger({ environment: { NODE_OPTIONS: `--max-old-space-size=${HEAP_MIB}` } }, async (ledger) => {
    const count = lab.extent.transfers
    const nowMs = Date.now()
    await writeEntries(ledger, count, nowMs)
    const lines = await publishLines(ledger, count, nowMs, lab)
    lab.progress(`${count} entries, ${lines} lines: matching`)
    const hasStatements = await resetStatements(ledger)
    const engine = ledger.engines.start({ roles: 'reconciler' })
    const seconds = await untilMatched(ledger, {
      sequence: BigInt(Math.ceil(count / BATCH)),
      lines,
      missing: count - lines,
      lab,
    })
    const { cpuSeconds } = processFigures(engine.pid)
    const peakMib = await peakMemoryMib(engine.pid)
    const items = count + lines
    const statements = hasStatements ? await statementTimes(ledger, items) : null
    await expectMatches(ledger, { count, lines })
    return {
      value: items / seconds,
      details: {
        ...{ entries: count, lines, seconds, peak_mib: peakMib },
        // With its start, which takes about two seconds: what counts where other work shares the cores.
        engine_cpu_us_per_item: cpuSeconds === null ? null : significant((cpuSeconds * 1e6) / items, 3),
        statements_us_per_item: statements,
      },
    }
  })

async function writeEntries(ledger: BenchLedger, count: number, nowMs: number): Promise<void> {
  const { writer } = ledger
  await openBareAccounts(ledger, 2, 'bench:')
  const at = new Date(nowMs).toISOString()
  await writer.query(WRITE_TRANSACTIONS, [count, at])
  await writer.query(WRITE_POSTINGS, [count, at])
  await writer.query('update ledger_head set sequence = $1, tick_ms = $2', [Math.ceil(count / BATCH), nowMs])
  await writer.query('analyze transactions')
  await writer.query('analyze postings')
}

/** @returns how many: a few payments never reach the bank */
async function publishLines(ledger: BenchLedger, count: number, nowMs: number, lab: Lab): Promise<number> {
  const { publisher } = ledger
  const date = new Date(nowMs).toISOString().slice(0, 10)
  const topic = publisher.topicName('statements')
  const encoder = encoderOf<StatementValue>(publisher.contracts.statements)
  let lines = 0
  for (let from = 0; from < count; from += BATCH) {
    lab.signal.throwIfAborted()
    const statementKey = createHash('md5').update(String(from)).digest('hex')
    const records = []
    for (let n = from; n < Math.min(from + BATCH, count); n += 1) {
      if (n % MISSING === MISSING - 1) continue
      records.push({
        topic,
        key: BANK_ACCOUNT,
        value: encoder.encode(lineOf({ n, statementKey, date })),
        partition: 0,
      })
    }
    lines += records.length
    await publisher.encoded(records)
  }
  const command = {
    id: 'bench-pair',
    pair: PAIR,
    kind: 'set_pair',
    subject: '',
    body: JSON.stringify({ accounts: { [BANK_ACCOUNT]: 'bench:0' } }),
    actor: 'bench',
    occurredAt: BigInt(nowMs),
  }
  const commands = encoderOf<typeof command>(publisher.contracts.reconciliationCommands)
  const commandTopic = publisher.topicName('reconciliationCommands')
  await publisher.encoded([{ topic: commandTopic, key: PAIR, value: commands.encode(command) }])
  return lines
}

const lineOf = (of: { n: number; statementKey: string; date: string }): StatementValue => ({
  statementKey: of.statementKey,
  file: 'bench.xml',
  fileHash: '0'.repeat(64),
  format: 'camt.053.001.08',
  account: BANK_ACCOUNT,
  currency: 'USD',
  date: of.date,
  actor: 'bench',
  ordinal: (of.n % BATCH) + 1,
  header: null,
  line: {
    line: of.n + 1,
    path: null,
    status: 'booked',
    amount: `${1_000 + Math.floor(of.n / 100)}.${String(of.n % 100).padStart(2, '0')}`,
    currency: 'USD',
    reversal: false,
    bookingDate: of.date,
    valueDate: of.date,
    bankReference: null,
    reference: of.n % UNREFERENCED === 0 ? null : `REF${of.n}`,
    code: null,
    text: null,
    details: [],
  },
})

/** Breaks open behind the last match, when nothing is left to be read. */
async function areBreaksOpen(pool: BenchLedger['pool'], count: number): Promise<boolean> {
  const [row] = await pool.query<{ open: bigint }>({
    text: `select count(*) as open from recon_breaks where status <> 'closed'`,
  })
  return row!.open >= BigInt(count)
}

/** The clock starts at the first commit, so that start-up isn't measured. @returns seconds */
async function untilMatched(
  { pool }: BenchLedger,
  of: { readonly sequence: bigint; readonly lines: number; readonly missing: number; readonly lab: Lab },
): Promise<number> {
  const { sequence, lines, missing, lab } = of
  const deadline = performance.now() + TIMEOUT_MS
  let begunMs: number | null = null
  for (;;) {
    const [row] = await pool.query<{ version: bigint; sequence: bigint; read: bigint }>({ text: LOOK }, [
      PAIR,
    ])
    const nowMs = performance.now()
    if (row !== undefined && row.version > 0n) begunMs ??= nowMs
    const isRead = row !== undefined && row.sequence >= sequence && row.read >= BigInt(lines)
    if (begunMs !== null && isRead && (await areBreaksOpen(pool, missing))) return (nowMs - begunMs) / 1_000
    if (nowMs > deadline || lab.signal.aborted) {
      throw new OperatingError('bench_timeout', `stopped at ${row?.read ?? 0} of ${lines} lines`)
    }
    await sleep(POLL_MS)
  }
}

async function expectMatches(
  { pool }: BenchLedger,
  { count, lines }: { readonly count: number; readonly lines: number },
): Promise<void> {
  const [row] = await pool.query<{ matches: bigint; open: bigint }>({
    text: `select (select count(*) from recon_matches where ended_version is null) as matches,
      (select count(*) from recon_breaks where status <> 'closed') as open`,
  })
  if (row!.matches === BigInt(lines) && row!.open === BigInt(count - lines)) return
  throw new OperatingError(
    'bench_wrong_result',
    `expected ${lines} matches and ${count - lines} breaks, found ${row!.matches} and ${row!.open}`,
  )
}

/** The most memory that a process ever had, MiB; 0 where the system doesn't say. */
async function peakMemoryMib(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1_024)
}
