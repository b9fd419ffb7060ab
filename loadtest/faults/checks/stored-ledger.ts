/** What the ledger's tables hold, read by queries of the checker's own, a stretch of the history at a time. */
import type { ReadPool } from '#platform/postgres/pool.ts'
import type { BatchOrder } from './decided-order.ts'

export interface StoredTransaction {
  readonly sequence: bigint
  readonly index: number
  readonly id: string
  readonly cause: string
  readonly status: string
  readonly reason: string | null
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
}

export interface StoredPosting {
  readonly sequence: bigint
  readonly index: number
  readonly posting: number
  readonly debit: string
  readonly credit: string
  readonly amount: bigint
  readonly debitPosted: bigint
  readonly creditPosted: bigint
}

export interface StoredDeadLetter {
  readonly sequence: bigint
  readonly index: number
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  readonly reason: string
}

export interface StoredBatch {
  readonly sequence: bigint
  readonly previousHash: Buffer
  readonly hash: Buffer
  readonly header: Buffer
  readonly payload: Buffer
  readonly format: number
  readonly records: number
  /** Decision time, ms since 1970. */
  readonly recordedAtMs: bigint
}

export interface StoredAccount {
  readonly id: string
  /** ISO 4217 number. */
  readonly currency: number
  readonly status: string
  readonly limited: boolean
  readonly overdraftLimit: bigint
  readonly posted: bigint
  readonly reserved: bigint
  readonly version: bigint
}

export interface StoredRule {
  readonly ruleId: string
  readonly version: bigint
  readonly currency: string | null
  readonly threshold: bigint
  readonly action: string
  readonly enabled: boolean
}

/** A stretch of the history: some batches' rows, each list in ledger order. */
export interface HistoryPart {
  /** What each batch decided, in which order. */
  readonly orders: readonly BatchOrder[]
  readonly transactions: readonly StoredTransaction[]
  readonly postings: readonly StoredPosting[]
  readonly deadLetters: readonly StoredDeadLetter[]
}

export interface StoredHead {
  readonly sequence: bigint
  readonly hash: Buffer
}

/** The head's place and hash. */
export const readHead = async (pool: ReadPool): Promise<StoredHead> => {
  const [head] = await pool.query<StoredHead>({ text: 'select sequence, hash from ledger_head' })
  return head!
}

/** Where reading goes on in each partition, by `topic:partition`. */
export const readPositions = async (pool: ReadPool): Promise<Map<string, bigint>> => {
  const rows = await pool.query<{ name: string; next: bigint }>({
    text: `select topic || ':' || partition as name, next_offset as next from ingest_offsets`,
  })
  return new Map(rows.map(({ name, next }) => [name, next]))
}

export const readAccounts = (pool: ReadPool): Promise<StoredAccount[]> =>
  pool.query<StoredAccount>({
    text: `select account_id as id, currency, status, limited, overdraft_limit as "overdraftLimit", posted, reserved, version
      from accounts order by account_no`,
  })

/** All versions of the rules, in their order. */
export const readRules = (pool: ReadPool): Promise<StoredRule[]> =>
  pool.query<StoredRule>({
    text: `select rule_id as "ruleId", version, body ->> 'currency' as currency, (body ->> 'threshold')::bigint as threshold,
        body ->> 'action' as action, (body ->> 'enabled')::boolean as enabled
      from rules order by version, index`,
  })

const BATCHES_AT_ONCE = 200n

const TRANSACTIONS = `select t.sequence, t.index, t.id, c.word as cause, s.word as status, r.word as reason, t.topic, t.partition, t."offset"
  from transactions t
  join codes c on c.list = 'cause' and c.code = t.cause
  join codes s on s.list = 'status' and s.code = t.status
  left join codes r on r.list = 'reason' and r.code = t.reason
  where t.sequence > $1 and t.sequence <= $2 order by t.sequence, t.index`

const POSTINGS = `select p.sequence, p.index, p.posting, d.account_id as debit, c.account_id as credit, p.amount,
    p.debit_posted as "debitPosted", p.credit_posted as "creditPosted"
  from postings p join accounts d on d.account_no = p.debit_no join accounts c on c.account_no = p.credit_no
  where p.sequence > $1 and p.sequence <= $2 order by p.sequence, p.index, p.posting`

const HEADERS = `select sequence, header from batches where sequence > $1 and sequence <= $2 order by sequence`

const DEAD_LETTERS = `select sequence, index, topic, partition, "offset", reason from dead_letters
  where sequence > $1 and sequence <= $2 order by sequence, index`

/** The whole history, some batches at a time: together they may be larger than memory. The engines must have ended. */
export async function* readHistory(pool: ReadPool): AsyncGenerator<HistoryPart> {
  const [row] = await pool.query<{ last: bigint }>({
    text: `select greatest((select max(sequence) from batches), (select max(sequence) from transactions),
      (select max(sequence) from postings), (select max(sequence) from dead_letters)) as last`,
  })
  const last = row?.last ?? 0n
  for (let from = 0n; from < last; from += BATCHES_AT_ONCE) {
    const range = [from, from + BATCHES_AT_ONCE]
    const headers = await pool.query<Pick<StoredBatch, 'sequence' | 'header'>>({ text: HEADERS }, range)
    yield {
      orders: headers.map(orderOf),
      transactions: await pool.query<StoredTransaction>({ text: TRANSACTIONS }, range),
      postings: await pool.query<StoredPosting>({ text: POSTINGS }, range),
      deadLetters: await pool.query<StoredDeadLetter>({ text: DEAD_LETTERS }, range),
    }
  }
}

/** Of a header that isn't readable nothing is known; that it has another hash is found elsewhere. */
const orderOf = ({ sequence, header }: Pick<StoredBatch, 'sequence' | 'header'>): BatchOrder => {
  const nothing = { sources: [], order: [], skips: [] }
  try {
    return { ...nothing, ...(JSON.parse(header.toString('utf8')) as Omit<BatchOrder, 'sequence'>), sequence }
  } catch {
    return { ...nothing, sequence }
  }
}

/** All batches in sequence, some at a time. */
export async function* readStoredBatches(pool: ReadPool): AsyncGenerator<StoredBatch> {
  let after = 0n
  for (;;) {
    const rows = await pool.query<StoredBatch>(
      {
        text: `select sequence, previous_hash as "previousHash", hash, header, payload, format, records,
            (extract(epoch from recorded_at) * 1000)::bigint as "recordedAtMs" from batches
          where sequence > $1 order by sequence limit $2`,
      },
      [after, BATCHES_AT_ONCE],
    )
    if (rows.length === 0) return
    yield* rows
    after = rows.at(-1)!.sequence
  }
}
