/** What the ledger's tables hold at the end, read by queries of the checker's own. */
import type { ReadPool } from '#platform/postgres/pool.ts'

export interface StoredTransaction {
  readonly sequence: bigint
  readonly index: number
  readonly id: string
  readonly cause: string
  readonly status: string
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

export interface StoredBatch {
  readonly sequence: bigint
  readonly previousHash: Buffer
  readonly hash: Buffer
  readonly header: Buffer
  readonly payload: Buffer
}

export interface StoredAccount {
  readonly id: string
  readonly posted: bigint
  readonly reserved: bigint
  readonly version: bigint
}

export interface StoredLedger {
  readonly head: { readonly sequence: bigint; readonly hash: Buffer }
  readonly transactions: readonly StoredTransaction[]
  readonly postings: readonly StoredPosting[]
  readonly accounts: readonly StoredAccount[]
  /** `topic:partition` → the offset that is read next. */
  readonly positions: ReadonlyMap<string, bigint>
}

/** The head's place and hash. */
export const readHead = async (pool: ReadPool): Promise<StoredLedger['head']> => {
  const [head] = await pool.query<StoredLedger['head']>({ text: 'select sequence, hash from ledger_head' })
  return head!
}

/** Where reading goes on in each partition. */
export const readPositions = async (pool: ReadPool): Promise<Map<string, bigint>> => {
  const rows = await pool.query<{ name: string; next: bigint }>({
    text: `select topic || ':' || partition as name, next_offset as next from ingest_offsets`,
  })
  return new Map(rows.map(({ name, next }) => [name, next]))
}

/** Everything but the batches, in the order of the history. The engines must have ended: it isn't one snapshot. */
export const readStoredLedger = async (pool: ReadPool): Promise<StoredLedger> => ({
  head: await readHead(pool),
  positions: await readPositions(pool),
  accounts: await pool.query<StoredAccount>({
    text: `select account_id as id, posted, reserved, version from accounts order by account_no`,
  }),
  transactions: await pool.query<StoredTransaction>({
    text: `select t.sequence, t.index, t.id, c.word as cause, s.word as status, t.partition, t."offset"
      from transactions t
      join codes c on c.list = 'cause' and c.code = t.cause join codes s on s.list = 'status' and s.code = t.status
      order by t.sequence, t.index`,
  }),
  postings: await pool.query<StoredPosting>({
    text: `select p.sequence, p.index, p.posting, d.account_id as debit, c.account_id as credit, p.amount,
        p.debit_posted as "debitPosted", p.credit_posted as "creditPosted"
      from postings p join accounts d on d.account_no = p.debit_no join accounts c on c.account_no = p.credit_no
      order by p.sequence, p.index, p.posting`,
  }),
})

const BATCHES_AT_ONCE = 200

/** All batches in sequence, some at a time: together they may be larger than memory. */
export async function* readStoredBatches(pool: ReadPool): AsyncGenerator<StoredBatch> {
  let after = 0n
  for (;;) {
    const rows = await pool.query<StoredBatch>(
      {
        text: `select sequence, previous_hash as "previousHash", hash, header, payload from batches
          where sequence > $1 order by sequence limit $2`,
      },
      [after, BATCHES_AT_ONCE],
    )
    if (rows.length === 0) return
    yield* rows
    after = rows.at(-1)!.sequence
  }
}
