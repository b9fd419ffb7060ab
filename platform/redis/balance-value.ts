/** What one account's cached balance is, and its compact form in Redis: `timeline|sequence|posted|…`, whose first two fields the scripts compare. */

/** Orders the states of an account: the database's timeline (raised at every restore), then the batch that last changed the row. */
export interface BalanceVersion {
  readonly timeline: bigint
  readonly sequence: bigint
}

export interface AccountBalance {
  readonly accountId: string
  /** ISO 4217 alphabetic code. */
  readonly currency: string
  readonly normalSide: 'debit' | 'credit'
  /** Credits less debits, minor units. */
  readonly posted: bigint
  /** Minor units. */
  readonly reserved: bigint
  /** false = no limit; then `overdraftLimit` says nothing. */
  readonly limited: boolean
  /** Minor units. */
  readonly overdraftLimit: bigint
  readonly version: BalanceVersion
  /** Ledger time at which this was known to hold, ms since 1970 UTC. */
  readonly recordedAtMs: number
}

/** Text of a balance for Redis; without the account id, which is in the key. */
export function encodeBalance(balance: AccountBalance): string {
  const { version } = balance
  return [
    version.timeline,
    version.sequence,
    balance.posted,
    balance.reserved,
    balance.currency,
    balance.normalSide === 'credit' ? 'C' : 'D',
    balance.limited ? 'L' : 'U',
    balance.overdraftLimit,
    balance.recordedAtMs,
  ].join('|')
}

const PATTERN = /^(\d+)\|(\d+)\|(-?\d+)\|(\d+)\|([A-Z]{3})\|([CD])\|([LU])\|(\d+)\|(\d+)$/

/** The balance in a text made by `encodeBalance`; undefined where it is anything else (then it is treated as missing). */
export function decodeBalance(accountId: string, text: string): AccountBalance | undefined {
  const fields = PATTERN.exec(text)
  if (fields === null) return undefined
  const [, timeline, sequence, posted, reserved, currency, side, limit, overdraft, recordedAt] =
    fields as unknown as string[]
  return {
    accountId,
    currency: currency ?? '',
    normalSide: side === 'C' ? 'credit' : 'debit',
    posted: BigInt(posted ?? ''),
    reserved: BigInt(reserved ?? ''),
    limited: limit === 'L',
    overdraftLimit: BigInt(overdraft ?? ''),
    version: { timeline: BigInt(timeline ?? ''), sequence: BigInt(sequence ?? '') },
    recordedAtMs: Number(recordedAt),
  }
}
