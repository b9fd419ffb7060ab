/** Reads a closing's rows in the order of their hash, in pages: any number of accounts fits in memory. */
import {
  type AccountClosing,
  type CardClosing,
  ClosingDigest,
  type ClosingHead,
  type ClosingSum,
  type ValueNet,
} from '#domain/ledger/closing.ts'
import { currencyByNumeric } from '#domain/money/currency.ts'
import { firstDayOf, type Queryable } from './period-rows.ts'

const PAGE_ROWS = 5_000

/** Numerics as text: what pg makes of arrays of them are floating point numbers. */
const READ_ACCOUNTS = `select c.account_no, coalesce(a.account_id, '#' || c.account_no) as account_id, c.currency, c.opening::text, c.debits::text,
    c.credits::text, c.debit_count::text, c.credit_count::text, c.posted::text, c.version::text, c.value_days::text[],
    c.value_nets::text[], c.later_ms::text[], c.later_nets::text[]
  from closings c left join accounts a on a.account_no = c.account_no
  where c.period = $1 and c.account_no > $2 order by c.account_no limit ${PAGE_ROWS}`

const READ_CARDS = `select c.card_no, coalesce(k.card, '#' || c.card_no) as card, c.debits::text, c.credits::text, c.spent::text
  from card_closings c left join cards k on k.card_no = c.card_no
  where c.period = $1 and c.card_no > $2 order by c.card_no limit ${PAGE_ROWS}`

interface AccountRow {
  account_no: string | bigint
  account_id: string
  currency: number
  opening: string
  debits: string
  credits: string
  debit_count: string
  credit_count: string
  posted: string
  version: string
  value_days: string[]
  value_nets: string[]
  later_ms: string[]
  later_nets: string[]
}

const netsOf = (at: readonly string[], nets: readonly string[]): ValueNet[] =>
  at.map((each, place) => ({ at: BigInt(each), net: BigInt(nets[place] ?? 0) }))

const accountOf = (row: AccountRow): AccountClosing => ({
  accountId: row.account_id,
  currency: currencyByNumeric(row.currency)?.code ?? `#${row.currency}`,
  opening: BigInt(row.opening),
  debits: BigInt(row.debits),
  credits: BigInt(row.credits),
  debitCount: BigInt(row.debit_count),
  creditCount: BigInt(row.credit_count),
  closing: BigInt(row.posted),
  version: BigInt(row.version),
  days: netsOf(row.value_days, row.value_nets),
  later: netsOf(row.later_ms, row.later_nets),
})

/** Hash and totals of what is stored. @throws what Postgres throws; AbortError of `signal` */
export const digestClosing = async (
  queryable: Queryable,
  head: ClosingHead,
  previousHash: Buffer,
  signal?: AbortSignal,
): Promise<ClosingSum> => {
  const digest = new ClosingDigest(head, previousHash)
  for await (const row of pages<AccountRow>(
    queryable,
    READ_ACCOUNTS,
    head.period,
    (row) => row.account_no,
    signal,
  )) {
    digest.addAccount(accountOf(row))
  }
  type CardRow = { [name in keyof CardClosing]: string } & { card_no: string | bigint }
  for await (const row of pages<CardRow>(queryable, READ_CARDS, head.period, (row) => row.card_no, signal)) {
    digest.addCard({
      card: row.card,
      debits: BigInt(row.debits),
      credits: BigInt(row.credits),
      spent: BigInt(row.spent),
    })
  }
  return digest.finish()
}

async function* pages<Row>(
  queryable: Queryable,
  text: string,
  period: string,
  numberOf: (row: Row) => string | bigint,
  signal: AbortSignal | undefined,
): AsyncGenerator<Row> {
  let after = '0'
  for (;;) {
    signal?.throwIfAborted()
    const { rows } = await queryable.query(text, [firstDayOf(period), after])
    yield* rows as Row[]
    if (rows.length < PAGE_ROWS) return
    after = String(numberOf(rows.at(-1) as Row))
  }
}
