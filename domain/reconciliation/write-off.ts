/**
 * A write-off as a transaction of the ledger: what the bank's items are more or less than the ledger's moves between the pair's account
 * and the one that it is written off to. Then the ledger's items, that entry included, are as much as the bank's.
 */
import { createHash } from 'node:crypto'
import type { Resolution, WriteOff } from '#domain/breaks/break-life.ts'
import type { MatchItem } from '#domain/matching/item.ts'
import { blankCommand, type TransactionCommand } from '#domain/transactions/command.ts'

/** The source of its transactions: with their ids they are told from everybody else's. */
export const WRITE_OFF_SOURCE = 'reconciliation'

/** `accounts_differ`: items of several accounts or currencies. `nothing_to_post`: no difference. `account_of_pair`: that is no place for a loss. */
export type WriteOffRefusal = 'accounts_differ' | 'nothing_to_post' | 'account_of_pair'

/** As the ledger takes them: schemas/avro/transaction.avsc. */
const LENGTH_MAX = { actor: 128, metadata: 512 }
const ID_DIGITS = 32

export interface WriteOffRequest {
  readonly pair: string
  /** Of the approval: it counts once, and so does the transaction. */
  readonly commandId: string
  /** The ledger's own time: what a person's clock says may be in its future, and is refused then. */
  readonly nowMs: number
  readonly resolution: Extract<Resolution, { kind: 'write_off' }>
  /** What the resolution names. */
  readonly items: readonly MatchItem[]
  /** Accounts of the ledger that the pair is about. */
  readonly accounts: ReadonlySet<string>
}

/** What is to be posted, or why it can't be. A debit of the pair's account is money that came in. */
export function writeOffOf(request: WriteOffRequest): WriteOff | { readonly refusal: WriteOffRefusal } {
  const { pair, commandId, nowMs, resolution, items, accounts } = request
  const { account, currency } = items[0]!
  if (items.some((item) => item.account !== account || item.currency !== currency)) {
    return { refusal: 'accounts_differ' }
  }
  if (accounts.has(resolution.account)) return { refusal: 'account_of_pair' }
  const missingMinor = items.reduce(
    (sum, { side, amountMinor }) => (side === 'bank' ? sum + amountMinor : sum - amountMinor),
    0n,
  )
  if (missingMinor === 0n) return { refusal: 'nothing_to_post' }
  const [debit, credit] = missingMinor > 0n ? [account, resolution.account] : [resolution.account, account]
  const amountMinor = String(missingMinor > 0n ? missingMinor : -missingMinor)
  return {
    transactionId: `write-off-${lettersOf([pair, commandId])}`,
    debit,
    credit,
    amountMinor,
    currency,
    occurredAtMs: nowMs,
  }
}

/** 128 bits in letters: digits might look like a card number, which the ledger refuses. */
const lettersOf = (parts: readonly string[]): string =>
  createHash('sha256')
    .update(JSON.stringify(parts))
    .digest('hex')
    .slice(0, ID_DIGITS)
    .replaceAll(/\d/g, (digit) => 'ghijklmnop'[Number(digit)]!)

/** The record for the topic `transactions`. The same whenever it is made again, so sending it twice posts it once. */
export function writeOffCommand(
  writeOff: WriteOff,
  about: {
    readonly pair: string
    readonly maker: string
    readonly checker: string
    readonly reason: string
  },
): TransactionCommand {
  const { transactionId, debit, credit, amountMinor, currency, occurredAtMs } = writeOff
  const cut = (text: string) => text.slice(0, LENGTH_MAX.metadata)
  const { pair, maker, checker, reason } = about
  return blankCommand({
    id: transactionId,
    source: WRITE_OFF_SOURCE,
    postings: [{ debit, credit, amount: BigInt(amountMinor), currency }],
    occurredAt: occurredAtMs,
    actor: checker.slice(0, LENGTH_MAX.actor),
    metadata: {
      pair,
      maker: cut(maker),
      checker: cut(checker),
      reason: cut(reason),
    },
  })
}
