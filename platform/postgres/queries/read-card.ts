/** Reads one card: its state, its limits and what it spent. */
import type { ReadPool } from '#platform/postgres/pool.ts'
import { currencyWord } from '#platform/postgres/queries/codes.ts'

export interface CardDetails {
  /** Token. */
  readonly card: string
  readonly accountId: string
  readonly currency: string
  readonly status: 'active' | 'blocked' | 'cancelled'
  readonly expiresAtMs: number | null
  /** Minor units; null = no limit. */
  readonly transactionLimit: bigint | null
  readonly dailyLimit: bigint | null
  /** Debits less credits of the account by this card, and what is reserved by it; minor units. */
  readonly spent: bigint
  readonly reserved: bigint
  /** What counts for the daily limit today (UTC day of ledger time), minor units. */
  readonly spentToday: bigint
}

interface Row {
  card: string
  account_id: string
  currency: number
  status: CardDetails['status']
  expires_at_ms: bigint | null
  transaction_limit: bigint | null
  daily_limit: bigint | null
  spent: bigint
  reserved: bigint
  spent_today: bigint
}

// The counter is of the day of the card's last transaction: on another day nothing is spent yet.
const TEXT = `select c.card, a.account_id, a.currency, c.status, c.expires_at_ms, c.transaction_limit, c.daily_limit, c.spent,
    c.reserved, case when c.day = h.tick_ms / 86400000 then c.day_amount else 0 end as spent_today
  from cards c join accounts a on a.account_no = c.account_no cross join ledger_head h
  where c.card = $1`

/** The card, or undefined where there is no such token. */
export async function readCard(pool: ReadPool, card: string): Promise<CardDetails | undefined> {
  const [row] = await pool.query<Row>({ text: TEXT }, [card])
  if (row === undefined) return undefined
  return {
    card: row.card,
    accountId: row.account_id,
    currency: currencyWord(row.currency),
    status: row.status,
    expiresAtMs: row.expires_at_ms === null ? null : Number(row.expires_at_ms),
    transactionLimit: row.transaction_limit,
    dailyLimit: row.daily_limit,
    spent: row.spent,
    reserved: row.reserved,
    spentToday: row.spent_today,
  }
}
