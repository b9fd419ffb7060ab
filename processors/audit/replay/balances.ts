/** Balances of a replay held against the tables: as they stand, and as the stored postings fold to. */
import type { AccountState } from '#domain/ledger/state.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import {
  type AccountStateRow,
  foldBalances,
  readAccountStates,
} from '#platform/postgres/queries/read-account-states.ts'
import type { Difference } from './differences.ts'
import type { LedgerMemory } from './ledger-memory.ts'

const ACCOUNTS_AT_ONCE = 5_000

/**
 * Rows of `accounts` that aren't what the replay gives. Rows that later batches have changed meanwhile are left out: an engine
 * may be at work.
 */
export async function* accountDifferences(pool: ReadPool, memory: LedgerMemory): AsyncGenerator<Difference> {
  let last = 0
  for (;;) {
    const rows = await readAccountStates(pool, last, ACCOUNTS_AT_ONCE)
    const through =
      rows.length < ACCOUNTS_AT_ONCE ? memory.accountsByNo.length : Number(rows.at(-1)!.account_no)
    const byNo = new Map(rows.map((row) => [Number(row.account_no), row]))
    for (let no = last + 1; no <= through; no += 1) {
      const account = memory.accountsByNo[no]
      if (account !== undefined && !byNo.has(no))
        yield difference(memory, account.id, null, statesOf(account))
    }
    for (const row of rows) {
      const account = memory.accountsByNo[Number(row.account_no)]
      const isLater = row.version > memory.sequence || row.opened_sequence > memory.sequence
      if (account === undefined) {
        if (!isLater) yield difference(memory, row.account_id, statesOfRow(row), null)
        continue
      }
      if (isLater) continue
      const [stored, replayed] = [statesOfRow(row), statesOf(account)]
      if (JSON.stringify(stored) !== JSON.stringify(replayed)) {
        yield difference(memory, account.id, stored, replayed)
      }
    }
    if (rows.length < ACCOUNTS_AT_ONCE) return
    last = through
  }
}

/** The first account whose balance isn't the sum of its stored entries up to the replay's batch; null = all are. */
export const foldMismatch = async (pool: ReadPool, memory: LedgerMemory): Promise<AccountState | null> => {
  const sequence = memory.sequence
  for (let after = 0; after < memory.accountsByNo.length; after += ACCOUNTS_AT_ONCE) {
    const through = after + ACCOUNTS_AT_ONCE
    const folded = await foldBalances(pool, { after, through, sequence })
    for (let no = after + 1; no <= through && no < memory.accountsByNo.length; no += 1) {
      const account = memory.account(no)
      if ((folded.get(no) ?? 0n) !== account.posted) return account
    }
  }
  return null
}

const statesOf = (account: AccountState) => ({
  account: account.id,
  posted: String(account.posted),
  reserved: String(account.reserved),
  status: account.status,
  limited: account.limited,
  overdraftLimit: String(account.overdraftLimit),
  version: String(account.version),
})

const statesOfRow = (row: AccountStateRow) => ({
  account: row.account_id,
  posted: String(row.posted),
  reserved: String(row.reserved),
  status: row.status,
  limited: row.limited,
  overdraftLimit: String(row.overdraft_limit),
  version: String(row.version),
})

const difference = (
  memory: LedgerMemory,
  subject: string,
  stored: unknown,
  replayed: unknown,
): Difference => ({
  batch: String(memory.sequence),
  kind: 'accounts',
  topic: null,
  partition: null,
  offset: null,
  subject,
  stored,
  replayed,
})
