/** A ledger's tables used without the engine: accounts opened by plain SQL, for what the engine is compared with. */
import type { BenchLedger } from '../lab.ts'

export const CURRENCY_NUMERIC = 840
/** Enough that no transfer is refused. */
const POSTED_MINOR = 1_000_000_000_000n

const INSERT_ACCOUNTS = `insert into accounts (account_no, account_id, currency, account_class, normal_side, status, limited,
    overdraft_limit, reversal_may_overdraw, posted, reserved, version, opened_sequence)
  select n, $2 || n, ${CURRENCY_NUMERIC}, 'customer', 'credit', 'open', true, 0, false, $3, 0, 0, 0 from generate_series(0, $1 - 1) as n`

/** Opens accounts numbered from 0, named by the prefix and their number, all with money. */
export const openBareAccounts = async (
  { writer }: BenchLedger,
  count: number,
  prefix: string,
): Promise<void> => {
  await writer.query(INSERT_ACCOUNTS, [count, prefix, POSTED_MINOR])
  await writer.query('analyze accounts')
}
