/** Reads one account: its reference data and its balance now. */
import type { AccountClass } from '#domain/transactions/command.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { currencyWord } from '#platform/postgres/queries/codes.ts'
import type { AccountBalance } from '#platform/redis/balance-value.ts'

export interface AccountDetails extends AccountBalance {
  readonly accountClass: AccountClass
  readonly status: 'open' | 'frozen' | 'closed'
  readonly reversalMayOverdraw: boolean
  /** The batch that opened it. */
  readonly openedSequence: bigint
}

interface Row {
  account_id: string
  currency: number
  account_class: AccountClass
  normal_side: 'debit' | 'credit'
  status: 'open' | 'frozen' | 'closed'
  limited: boolean
  overdraft_limit: bigint
  reversal_may_overdraw: boolean
  posted: bigint
  reserved: bigint
  version: bigint
  opened_sequence: bigint
  timeline: bigint
  tick_ms: bigint
}

const TEXT = `select a.account_id, a.currency, a.account_class, a.normal_side, a.status, a.limited, a.overdraft_limit,
    a.reversal_may_overdraw, a.posted, a.reserved, a.version, a.opened_sequence, h.timeline, h.tick_ms
  from accounts a cross join ledger_head h
  where a.account_id = $1`

/** The account, or undefined where there is none. */
export async function readAccount(pool: ReadPool, accountId: string): Promise<AccountDetails | undefined> {
  const [row] = await pool.query<Row>({ name: 'read-account', text: TEXT }, [accountId])
  if (row === undefined) return undefined
  return {
    accountId: row.account_id,
    currency: currencyWord(row.currency),
    accountClass: row.account_class,
    normalSide: row.normal_side,
    status: row.status,
    limited: row.limited,
    overdraftLimit: row.overdraft_limit,
    reversalMayOverdraw: row.reversal_may_overdraw,
    posted: row.posted,
    reserved: row.reserved,
    version: { timeline: row.timeline, sequence: row.version },
    openedSequence: row.opened_sequence,
    recordedAtMs: Number(row.tick_ms),
  }
}
