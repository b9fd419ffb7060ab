/**
 * The limit of the database: the rows of as many transfers, into the same tables with the same indexes, by plain set-based SQL over two
 * connections that insert beside each other. Nothing is read from Kafka, decided, hashed or published; balances are summed up and
 * added at the end of a batch, one batch at a time.
 */
import { createHash, randomBytes } from 'node:crypto'
import {
  byteaArray,
  int2Array,
  int4Array,
  int8Array,
  textArray,
  timestampArray,
  uuidArray,
} from '#platform/postgres/binary-arrays.ts'
import { OperatingError } from '#platform/errors.ts'
import { Random } from '../../generator/random.ts'
import type { BenchLedger, Lab } from '../lab.ts'
import type { Measurement } from '../measure.ts'
import { CURRENCY_NUMERIC, openBareAccounts } from './bare-ledger.ts'

const CONNECTIONS = 2
const BATCH = 4_000
/** What the engine's batch records take a plain transfer, compressed (measured: sum of payload and header by records). */
const RECORD_BYTES = 90
const AMOUNT_MAX = 10_000

const TAKE_IDS = `insert into transaction_ids (key, content, sequence, index, recorded_at)
  select k, c, $3, i, r from unnest($1::uuid[], $2::uuid[], $4::int[], $5::timestamptz[]) as u (k, c, i, r) order by k`
const INSERT_TRANSACTIONS = `insert into transactions (recorded_at, sequence, index, key, id, source, kind, cause, status,
    occurred_at, value_at, topic, partition, "offset", actor)
  select r, $1, i, k, d, 'bench', 0, 0, 0, r, r, 'transactions', p, i, 'bench'
  from unnest($2::timestamptz[], $3::int[], $4::uuid[], $5::text[], $6::int[]) as u (r, i, k, d, p)`
const INSERT_POSTINGS = `insert into postings (recorded_at, sequence, index, posting, debit_no, credit_no, amount, currency,
    debit_posted, credit_posted, value_at)
  select r, $1, i, 0, d, c, a, cu, 0, 0, r
  from unnest($2::timestamptz[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::int2[]) as u (r, i, d, c, a, cu)`
const INSERT_BATCH = `insert into batches (sequence, recorded_at, previous_hash, hash, format, records, header, payload)
  select $1, $2, h, h, 1, $3, '', p from unnest($4::bytea[], $5::bytea[]) as u (h, p)`
const IN_TURN = 'select pg_advisory_xact_lock(7)'
const ADD_BALANCES = `update accounts a set posted = a.posted + u.p, version = $1
  from unnest($2::bigint[], $3::bigint[]) as u (n, p) where a.account_no = u.n`

/** Writes the lab's transfers. */
export const measureLimit = (lab: Lab): Promise<Measurement> =>
  lab.withLedger({}, async (ledger) => {
    const { accounts, transfers } = lab.extent
    await openBareAccounts(ledger, accounts, 'bench:')
    const batches = Math.max(CONNECTIONS, Math.ceil(transfers / BATCH))
    const random = new Random(1)
    let next = 0
    const begunMs = performance.now()
    const worker = async (): Promise<void> => {
      while (next < batches) {
        lab.signal.throwIfAborted()
        next += 1
        await writeBatch(ledger, makeBatch({ sequence: next, accounts, random, nowMs: Date.now() }))
      }
    }
    await Promise.all(Array.from({ length: CONNECTIONS }, worker))
    const seconds = (performance.now() - begunMs) / 1_000
    await expectAll(ledger, batches * BATCH)
    return {
      value: (batches * BATCH) / seconds,
      details: { connections: CONNECTIONS, batch: BATCH, seconds },
    }
  })

type Parameters = (Buffer | number | string)[]

/** The parameters of each statement. */
interface Batch {
  readonly statements: readonly (readonly [name: string, text: string, values: Parameters])[]
}

function makeBatch(of: { sequence: number; accounts: number; random: Random; nowMs: number }): Batch {
  const { sequence, accounts, random, nowMs } = of
  const index = Array.from({ length: BATCH }, (_, place) => place)
  const digests = index.map((place) => createHash('sha256').update(`${sequence}.${place}`).digest('hex'))
  const keys = digests.map((digest) => digest.slice(0, 32))
  const debits = index.map(() => random.integer(0, accounts - 1))
  const credits = debits.map((debit) => (debit + random.integer(1, accounts - 1)) % accounts)
  const amounts = index.map(() => random.integer(1, AMOUNT_MAX))
  const times = timestampArray(index.map(() => nowMs))
  const places = int4Array(index)
  const deltas = new Map<number, number>()
  for (const place of index) {
    const [debit, credit, amount] = [debits[place]!, credits[place]!, amounts[place]!]
    deltas.set(debit, (deltas.get(debit) ?? 0) - amount)
    deltas.set(credit, (deltas.get(credit) ?? 0) + amount)
  }
  const touched = [...deltas.keys()].sort((a, b) => a - b)
  const currencies = int2Array(index.map(() => CURRENCY_NUMERIC))
  return {
    statements: [
      [
        'limit-ids',
        TAKE_IDS,
        [uuidArray(keys), uuidArray(digests.map((digest) => digest.slice(32))), sequence, places, times],
      ],
      [
        'limit-transactions',
        INSERT_TRANSACTIONS,
        [
          sequence,
          times,
          places,
          uuidArray(keys),
          textArray(index.map((place) => `bench-${sequence.toString(36)}-${place.toString(36)}`)),
          int4Array(index.map((place) => place % 8)),
        ],
      ],
      [
        'limit-postings',
        INSERT_POSTINGS,
        [sequence, times, places, int8Array(debits), int8Array(credits), int8Array(amounts), currencies],
      ],
      [
        'limit-batch',
        INSERT_BATCH,
        [
          sequence,
          new Date(nowMs).toISOString(),
          BATCH,
          byteaArray([randomBytes(32)]),
          byteaArray([randomBytes(BATCH * RECORD_BYTES)]),
        ],
      ],
      ['limit-turn', IN_TURN, []],
      [
        'limit-balances',
        ADD_BALANCES,
        [sequence, int8Array(touched), int8Array(touched.map((no) => deltas.get(no)!))],
      ],
    ],
  }
}

async function writeBatch({ writer }: BenchLedger, { statements }: Batch): Promise<void> {
  const client = await writer.connect()
  try {
    await client.query('begin')
    for (const [name, text, values] of statements) await client.query({ name, text, values })
    await client.query('commit')
  } finally {
    client.release()
  }
}

/** @throws OperatingError `bench_wrong_result` where rows are missing or money has come or gone */
async function expectAll({ pool }: BenchLedger, transfers: number): Promise<void> {
  const [row] = await pool.query<{ transactions: number; postings: number; drift: string }>({
    text: `select (select count(*)::int from transactions) as transactions, (select count(*)::int from postings) as postings,
      (select sum(posted) - count(*) * max(1000000000000) from accounts) as drift`,
  })
  const { transactions, postings, drift } = row!
  if (transactions === transfers && postings === transfers && Number(drift) === 0) return
  const found = `${transactions} transactions, ${postings} postings, drift ${drift}`
  throw new OperatingError('bench_wrong_result', `expected ${transfers} of each and no drift, found ${found}`)
}
