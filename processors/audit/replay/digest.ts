/**
 * The digest of a ledger: SHA-256 over its entries and balances in ledger sequence. It says the same for equal histories, however
 * they were cut into batches, on whichever cluster, and after a recovery: no sequence, offset, owner, schema id or clock is in it.
 *
 * Canonical bytes, version 1; all numbers big-endian:
 *   "tallystream digest 1\n" in ASCII
 *   for each posting of an applied transaction, in ledger order: byte 1; the key of its transaction (16 bytes, see
 *     domain/transactions/canonical.ts); its place in the transaction (uint16); debit and credit account number (uint32 each);
 *     amount, and the balances of debit and credit account after it (int64 each); value time in ms since 1970 (int64)
 *   for each account at the end, by account number: byte 2; account number (uint32); posted, reserved and overdraft limit
 *     (int64 each); byte 1 where it is limited, else 0; and as texts (length in bytes as uint16, UTF-8) its id, currency, class,
 *     normal side and status
 * An account's number is its place in the order of opening, so it is part of the serial history.
 */
import { createHash } from 'node:crypto'
import type { AccountState, TransactionDecision } from '#domain/ledger/state.ts'

const BUFFER_BYTES = 256 * 1024
const ENTRY_BYTES = 59
const ACCOUNT_BYTES_MAX = 4_096
const POSTING = 1
const ACCOUNT = 2
const TWO_TO_32 = 4_294_967_296

export class LedgerDigest {
  private readonly hash = createHash('sha256').update('tallystream digest 1\n')
  private readonly buffer = Buffer.alloc(BUFFER_BYTES)
  private readonly view = new DataView(this.buffer.buffer, this.buffer.byteOffset, BUFFER_BYTES)
  private at = 0

  /** Adds what was posted by a decision; nothing for others. */
  addDecision(decision: TransactionDecision): void {
    if (decision.status !== 'applied') return
    const valueTime = decision.command.valueTime ?? decision.command.occurredAt
    for (let place = 0; place < decision.postings.length; place += 1) {
      const posting = decision.postings[place]!
      this.need(ENTRY_BYTES)
      const { view, at } = this
      this.buffer[at] = POSTING
      this.buffer.write(decision.key, at + 1, 'hex')
      view.setUint16(at + 17, place)
      view.setUint32(at + 19, posting.debit.no)
      view.setUint32(at + 23, posting.credit.no)
      view.setBigInt64(at + 27, posting.amount)
      view.setBigInt64(at + 35, posting.debitPosted)
      view.setBigInt64(at + 43, posting.creditPosted)
      view.setInt32(at + 51, Math.floor(valueTime / TWO_TO_32))
      view.setUint32(at + 55, valueTime >>> 0)
      this.at += ENTRY_BYTES
    }
  }

  /** Ends it with the accounts as they are, in the order of their numbers. @returns 64 hexadecimal digits */
  end(accounts: Iterable<AccountState>): string {
    for (const account of accounts) this.addAccount(account)
    this.flush()
    return this.hash.digest('hex')
  }

  private addAccount(account: AccountState): void {
    this.need(ACCOUNT_BYTES_MAX)
    this.buffer[this.at] = ACCOUNT
    this.view.setUint32(this.at + 1, account.no)
    this.view.setBigInt64(this.at + 5, account.posted)
    this.view.setBigInt64(this.at + 13, account.reserved)
    this.view.setBigInt64(this.at + 21, account.overdraftLimit)
    this.buffer[this.at + 29] = account.limited ? 1 : 0
    this.at += 30
    for (const text of [
      account.id,
      account.currency,
      account.accountClass,
      account.normalSide,
      account.status,
    ]) {
      const bytes = this.buffer.write(text, this.at + 2, 'utf8')
      this.view.setUint16(this.at, bytes)
      this.at += 2 + bytes
    }
  }

  private need(bytes: number): void {
    if (this.at + bytes > BUFFER_BYTES) this.flush()
  }

  private flush(): void {
    this.hash.update(this.buffer.subarray(0, this.at))
    this.at = 0
  }
}
