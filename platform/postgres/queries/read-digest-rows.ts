/** All postings in ledger order, and all accounts in the order of their opening, a page at a time: what a ledger's digest is over. */
import type { ReadPool } from '../pool.ts'

export interface DigestPosting {
  readonly sequence: bigint
  readonly index: number
  readonly posting: number
  /** The transaction's key, 32 hex digits. */
  readonly key: string
  readonly debit_no: bigint
  readonly credit_no: bigint
  readonly amount: bigint
  readonly debit_posted: bigint
  readonly credit_posted: bigint
  /** Ms since 1970. */
  readonly value_ms: bigint
}

export interface DigestAccount {
  readonly account_no: bigint
  readonly account_id: string
  readonly currency: number
  readonly account_class: string
  readonly normal_side: string
  readonly status: string
  readonly limited: boolean
  readonly overdraft_limit: bigint
  readonly posted: bigint
  readonly reserved: bigint
}

const PAGE = 10_000

const POSTINGS = {
  name: 'digest-postings',
  text: `select p.sequence, p.index, p.posting, replace(t.key::text, '-', '') as key, p.debit_no, p.credit_no, p.amount,
      p.debit_posted, p.credit_posted, (extract(epoch from p.value_at) * 1000)::bigint as value_ms
    from postings p join transactions t using (sequence, index, recorded_at)
    where (p.sequence, p.index, p.posting) > ($1::bigint, $2::int, $3::int) order by p.sequence, p.index, p.posting limit $4`,
}

const ACCOUNTS = {
  name: 'digest-accounts',
  text: `select account_no, account_id, currency, account_class, normal_side, status, limited, overdraft_limit, posted, reserved
    from accounts where account_no > $1 order by account_no limit $2`,
}

/** Every posting that the tables hold, in ledger order. */
export async function* readDigestPostings(pool: ReadPool): AsyncGenerator<DigestPosting> {
  let last: { sequence: bigint; index: number; posting: number } = { sequence: 0n, index: -1, posting: -1 }
  for (;;) {
    const rows = await pool.query<DigestPosting>(POSTINGS, [last.sequence, last.index, last.posting, PAGE])
    yield* rows
    if (rows.length < PAGE) return
    last = rows.at(-1)!
  }
}

/** Every account. */
export async function* readDigestAccounts(pool: ReadPool): AsyncGenerator<DigestAccount> {
  let last = -1n
  for (;;) {
    const rows = await pool.query<DigestAccount>(ACCOUNTS, [last, PAGE])
    yield* rows
    if (rows.length < PAGE) return
    last = rows.at(-1)!.account_no
  }
}
