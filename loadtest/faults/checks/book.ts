/**
 * A ledger of the checker's own: balances, reserved amounts and limits, moved record by record in the order that Postgres says. It
 * says what each record must become, and then follows what did become of it, so that one wrong decision is found once.
 */
import type { Input, InputPosting } from './input-log.ts'

export interface BookAccount {
  readonly limited: boolean
  readonly overdraftLimit: bigint
  posted: bigint
  reserved: bigint
}

export type Verdict = 'applied' | 'authorized' | 'voided' | 'unknown account' | 'over the limit' | 'no parent'

interface Authorization {
  readonly postings: readonly InputPosting[]
  isOpen: boolean
}

export class Book {
  readonly accounts = new Map<string, BookAccount>()
  readonly #authorizations = new Map<string, Authorization>()

  constructor(accounts: readonly { id: string; limited: boolean; overdraftLimit: bigint }[]) {
    for (const { id, limited, overdraftLimit } of accounts) {
      this.accounts.set(id, { limited, overdraftLimit, posted: 0n, reserved: 0n })
    }
  }

  /** What must become of a record whose id is new. */
  judge(input: Input): Verdict {
    if (input.kind === 'capture' || input.kind === 'void') {
      const parent = this.#authorizations.get(input.parentId ?? '')
      if (parent?.isOpen !== true) return 'no parent'
      return input.kind === 'void' ? 'voided' : 'applied'
    }
    const isKnown = ({ debit, credit }: InputPosting) => this.accounts.has(debit) && this.accounts.has(credit)
    if (!input.postings.every(isKnown)) return 'unknown account'
    const isAuthorization = input.kind === 'authorize'
    for (const [id, change] of isAuthorization ? reservedBy(input.postings) : netOf(input.postings)) {
      const account = this.accounts.get(id)!
      const available = account.posted - account.reserved + change
      if (change < 0n && account.limited && available + account.overdraftLimit < 0n) return 'over the limit'
    }
    return isAuthorization ? 'authorized' : 'applied'
  }

  /** The movements of a record that is applied. */
  postingsOf(input: Input): readonly InputPosting[] {
    if (input.kind !== 'capture') return input.postings
    return this.#authorizations.get(input.parentId ?? '')?.postings ?? []
  }

  /** Moves one posting's money. @returns the balances after it; undefined for accounts that nobody opened */
  move({ debit, credit, amount }: InputPosting): { debit: bigint; credit: bigint } | undefined {
    const [from, to] = [this.accounts.get(debit), this.accounts.get(credit)]
    if (from === undefined || to === undefined) return undefined
    from.posted -= amount
    to.posted += amount
    return { debit: from.posted, credit: to.posted }
  }

  /** Follows what a record did to reserved amounts. */
  settle(input: Input, status: string): void {
    if (status === 'authorized') {
      this.#reserve(input.postings, 1n)
      this.#authorizations.set(input.id, { postings: input.postings, isOpen: true })
      return
    }
    const isEnd = (input.kind === 'capture' && status === 'applied') || status === 'voided'
    const parent = this.#authorizations.get(input.parentId ?? '')
    if (!isEnd || parent === undefined || !parent.isOpen) return
    parent.isOpen = false
    this.#reserve(parent.postings, -1n)
  }

  /** The accounts among those of these postings that have less than their limit allows. */
  broken(postings: readonly InputPosting[]): string[] {
    return [...new Set(postings.map(({ debit }) => debit))].filter((id) => {
      const account = this.accounts.get(id)
      return account?.limited === true && account.posted - account.reserved + account.overdraftLimit < 0n
    })
  }

  #reserve(postings: readonly InputPosting[], sign: bigint): void {
    for (const { debit, amount } of postings) {
      const account = this.accounts.get(debit)
      if (account !== undefined) account.reserved += sign * amount
    }
  }
}

/** All accounts here are of the credit side: debits lower them. */
const netOf = (postings: readonly InputPosting[]): Map<string, bigint> => {
  const net = new Map<string, bigint>()
  for (const { debit, credit, amount } of postings) {
    net.set(debit, (net.get(debit) ?? 0n) - amount)
    net.set(credit, (net.get(credit) ?? 0n) + amount)
  }
  return net
}

const reservedBy = (postings: readonly InputPosting[]): Map<string, bigint> => {
  const reserved = new Map<string, bigint>()
  for (const { debit, amount } of postings) reserved.set(debit, (reserved.get(debit) ?? 0n) - amount)
  return reserved
}
