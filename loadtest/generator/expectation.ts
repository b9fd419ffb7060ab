/** What a run must lead to: final amounts of every account and counts of every outcome; written to a file and compared with Postgres. */
import { readFile, writeFile } from 'node:fs/promises'
import { ConfigurationError } from '#platform/errors.ts'
import type { RecordPosition } from '#platform/kafka/producer.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { currencyWord, reasonWord, statusWord } from '#platform/postgres/queries/codes.ts'
import { sourceOf } from './generator.ts'
import type { ModelBalance } from './model.ts'
import type { Outcome } from './records.ts'

export interface ExpectedAccount {
  readonly currency: string
  /** Credits less debits, and what is reserved; minor units. */
  readonly posted: bigint
  readonly reserved: bigint
}

export interface Expectation {
  readonly run: string
  readonly source: string
  readonly seed: number
  readonly mix: string
  /** Records on the topic `transactions` without the funding. */
  readonly transactions: number
  readonly accounts: Readonly<Record<string, ExpectedAccount>>
  /** By status, `rejected:reason` and `dead:reason`; with the funding, whose transactions come from the same source. */
  readonly outcomes: Readonly<Record<string, number>>
  /** Of the outcomes, those of the funding. */
  readonly fundingOutcomes: Readonly<Record<string, number>>
  /** Records of each case of the mix, to show that each has its share. */
  readonly cases: Readonly<Record<string, number>>
  /** Where the run's records stand, once published: dead letters are found by it. */
  readonly ranges: readonly PartitionSpan[]
}

/** Offsets of a run in one partition of `transactions`: from the first up to and including the last. */
export interface PartitionSpan {
  readonly partition: number
  readonly first: bigint
  readonly last: bigint
}

export interface Difference {
  /** `account` or `outcome`. */
  readonly what: 'account' | 'outcome'
  readonly name: string
  readonly expected: string
  readonly actual: string
}

/** The case that the funding is counted as. */
export const FUNDING = 'funding'

/** Outcomes of the run's own transactions, each counted once: their sum is `transactions`. */
export const ownOutcomes = ({ outcomes, fundingOutcomes }: Expectation): Record<string, number> =>
  Object.fromEntries(
    Object.entries(outcomes).map(([name, number]) => [name, number - (fundingOutcomes[name] ?? 0)]),
  )

/** Collects outcomes as they are decided. */
export class ExpectationBuilder {
  readonly #options: { run: string; seed: number; mix: string; transactions: number }
  readonly #outcomes = new Map<string, number>()
  readonly #cases = new Map<string, number>()
  readonly #funding = new Map<string, number>()

  constructor(options: { run: string; seed: number; mix: string; transactions: number }) {
    this.#options = options
  }

  count(outcome: Outcome, caseName: string): void {
    this.countMany(outcome, caseName, 1)
  }

  countMany(outcome: Outcome, caseName: string, times: number): void {
    const add = (counts: Map<string, number>, name: string) =>
      counts.set(name, (counts.get(name) ?? 0) + times)
    add(this.#outcomes, outcome)
    add(this.#cases, caseName)
    if (caseName === FUNDING) add(this.#funding, outcome)
  }

  finish(balances: ReadonlyMap<string, ModelBalance>, currencies: ReadonlyMap<string, string>): Expectation {
    const { run, seed, mix, transactions } = this.#options
    const accounts: Record<string, ExpectedAccount> = {}
    for (const [id, { posted, reserved }] of balances) {
      accounts[id] = { currency: currencies.get(id) ?? '', posted, reserved }
    }
    return {
      run,
      source: sourceOf(run),
      seed,
      mix,
      transactions,
      accounts,
      outcomes: sorted(this.#outcomes),
      fundingOutcomes: sorted(this.#funding),
      cases: sorted(this.#cases),
      ranges: [],
    }
  }
}

const sorted = (counts: ReadonlyMap<string, number>): Record<string, number> =>
  Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)))

/** The spans that records at these positions cover. */
export class SpanCollector {
  readonly #spans = new Map<number, { partition: number; first: bigint; last: bigint }>()

  add(positions: Iterable<RecordPosition>): void {
    for (const { partition, offset } of positions) {
      const span = this.#spans.get(partition)
      if (span === undefined) this.#spans.set(partition, { partition, first: offset, last: offset })
      else if (offset > span.last) span.last = offset
      else if (offset < span.first) span.first = offset
    }
  }

  spans(): PartitionSpan[] {
    return [...this.#spans.values()].sort((a, b) => a.partition - b.partition)
  }
}

const FORMAT = 1

/** Writes an expectation as JSON, amounts as strings of minor units. */
export async function writeExpectation(file: string, expectation: Expectation): Promise<void> {
  const text = JSON.stringify({ format: FORMAT, ...expectation }, (_key, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  )
  try {
    await writeFile(file, `${text}\n`)
  } catch (error) {
    const { message } = error as Error
    throw new ConfigurationError(`expectation: expected a writable path, found ${file} (${message})`, {
      cause: error,
    })
  }
}

/** Reads what writeExpectation wrote. @throws ConfigurationError where it isn't such a file */
export async function readExpectation(file: string): Promise<Expectation> {
  try {
    const json = JSON.parse(await readFile(file, 'utf8'))
    if (json.format !== FORMAT) throw new Error(`format ${json.format}`)
    for (const account of Object.values<Record<string, unknown>>(json.accounts)) {
      account.posted = BigInt(account.posted as string)
      account.reserved = BigInt(account.reserved as string)
    }
    for (const range of json.ranges) {
      range.first = BigInt(range.first)
      range.last = BigInt(range.last)
    }
    return json
  } catch (error) {
    const { message } = error as Error
    throw new ConfigurationError(
      `expectation: expected a file of format ${FORMAT}, found ${file} (${message})`,
      {
        cause: error,
      },
    )
  }
}

export interface CheckResult {
  readonly accounts: number
  readonly outcomes: number
  readonly differences: readonly Difference[]
}

/** Differences shown at most: a broken run has as many as accounts. */
const DIFFERENCES_MAX = 200

/** Compares a run's expectation with what the ledger holds. Everything must be applied first. */
export async function checkExpectation(
  expectation: string | Expectation,
  { pool }: { readonly pool: ReadPool },
): Promise<CheckResult> {
  const expected = typeof expectation === 'string' ? await readExpectation(expectation) : expectation
  const differences: Difference[] = []
  const add = (difference: Difference) => {
    if (differences.length < DIFFERENCES_MAX) differences.push(difference)
  }
  await compareAccounts(expected, pool, add)
  await compareOutcomes(expected, pool, add)
  return {
    accounts: Object.keys(expected.accounts).length,
    outcomes: Object.values(expected.outcomes).reduce((sum, count) => sum + count, 0),
    differences,
  }
}

const ACCOUNTS_PER_QUERY = 10_000
const ACCOUNTS = `select account_id, currency, posted, reserved from accounts where account_id = any($1)`

interface AccountRow {
  account_id: string
  currency: number
  posted: bigint
  reserved: bigint
}

async function compareAccounts(
  expected: Expectation,
  pool: ReadPool,
  add: (difference: Difference) => void,
): Promise<void> {
  const ids = Object.keys(expected.accounts)
  const shown = (account: ExpectedAccount | undefined) =>
    account === undefined
      ? 'no such account'
      : `${account.currency} posted ${account.posted} reserved ${account.reserved}`
  for (let at = 0; at < ids.length; at += ACCOUNTS_PER_QUERY) {
    const part = ids.slice(at, at + ACCOUNTS_PER_QUERY)
    const rows = await pool.query<AccountRow>({ text: ACCOUNTS }, [part])
    const actual = new Map(
      rows.map((row) => [row.account_id, { ...row, currency: currencyWord(row.currency) }]),
    )
    for (const id of part) {
      const wanted = shown(expected.accounts[id])
      const found = shown(actual.get(id))
      if (wanted !== found) add({ what: 'account', name: id, expected: wanted, actual: found })
    }
  }
}

const OUTCOMES = `select status, reason, count(*) as count from transactions
  where source = $1 and cause = 0 group by status, reason`
/** Conflicting ids are rejected transactions and dead letters: they are counted as the former. */
const DEAD_LETTERS = `select d.reason, count(*) as count from dead_letters d
  join unnest($1::int[], $2::bigint[], $3::bigint[]) as span (partition, first, last)
    on d.partition = span.partition and d."offset" between span.first and span.last
  where d.topic = 'transactions' and d.reason <> 'id_conflict' group by d.reason`

async function compareOutcomes(
  expected: Expectation,
  pool: ReadPool,
  add: (difference: Difference) => void,
): Promise<void> {
  const actual = new Map<string, number>()
  const decided = await pool.query<{ status: number; reason: number | null; count: bigint }>(
    { text: OUTCOMES },
    [expected.source],
  )
  for (const { status, reason, count } of decided) {
    const word = reasonWord(reason)
    actual.set(word === null ? statusWord(status) : `${statusWord(status)}:${word}`, Number(count))
  }
  const { ranges } = expected
  const dead = await pool.query<{ reason: string; count: bigint }>({ text: DEAD_LETTERS }, [
    ranges.map(({ partition }) => partition),
    ranges.map(({ first }) => first),
    ranges.map(({ last }) => last),
  ])
  for (const { reason, count } of dead) actual.set(`dead:${reason}`, Number(count))
  for (const name of new Set([...Object.keys(expected.outcomes), ...actual.keys()])) {
    const wanted = expected.outcomes[name] ?? 0
    const found = actual.get(name) ?? 0
    if (wanted !== found) {
      add({ what: 'outcome', name, expected: String(wanted), actual: String(found) })
    }
  }
}
