/**
 * What the entries of one month come to, by account and card: the closings that docs/periods.md describes, made from decisions
 * instead of stored rows.
 */
import type { AccountClosing, CardClosing, ValueNet } from '#domain/ledger/closing.ts'
import type { AccountState, CardState, TransactionDecision } from '#domain/ledger/state.ts'

const DAY_MS = 86_400_000

interface AccountMonth {
  readonly account: AccountState
  readonly opening: bigint
  debits: bigint
  credits: bigint
  debitCount: bigint
  creditCount: bigint
  version: bigint
  /** Days since 1970 → net. */
  readonly days: Map<number, bigint>
  /** Ms since 1970, at or after the month's end → net. */
  readonly later: Map<number, bigint>
}

interface CardMonth {
  readonly card: CardState
  debits: bigint
  credits: bigint
  readonly spentBefore: bigint
}

const netsOf = (nets: ReadonlyMap<number, bigint>): ValueNet[] =>
  [...nets].sort(([a], [b]) => a - b).map(([at, net]) => ({ at: BigInt(at), net }))

const addTo = (nets: Map<number, bigint>, at: number, signed: bigint): void => {
  nets.set(at, (nets.get(at) ?? 0n) + signed)
}

export type NumberedAccount = AccountClosing & { readonly no: number }
export type NumberedCard = CardClosing & { readonly no: number }

/** One month at a time; what is carried on is each account's balance and each card's spending. Memory: a row an account and value day. */
export class MonthSums {
  private accounts = new Map<number, AccountMonth>()
  private cards = new Map<number, CardMonth>()
  private readonly untilMs: number

  /** @param untilMs the month's end, ms since 1970. @param before the month before, closed; null = this is the first */
  constructor(untilMs: number, before: MonthSums | null) {
    this.untilMs = untilMs
    if (before === null) return
    for (const [no, each] of before.accounts) {
      const opening = closingOf(each)
      if (opening !== 0n) this.accounts.set(no, unmoved(each.account, opening, each.version))
    }
    for (const [no, each] of before.cards) {
      const spentBefore = spentOf(each)
      if (spentBefore !== 0n) this.cards.set(no, { card: each.card, debits: 0n, credits: 0n, spentBefore })
    }
  }

  /** An applied decision of this month. @param card the one that it was made with */
  add(sequence: bigint, { command, postings }: TransactionDecision, card: CardState | null): void {
    const valueMs = command.valueTime ?? command.occurredAt
    for (const { debit, credit, amount } of postings) {
      const from = this.monthOf(debit)
      from.debits += amount
      from.debitCount += 1n
      this.move(from, sequence, valueMs, -amount)
      const to = this.monthOf(credit)
      to.credits += amount
      to.creditCount += 1n
      this.move(to, sequence, valueMs, amount)
    }
    if (card === null || postings.length === 0) return
    const month = this.cardMonthOf(card)
    for (const { debit, credit, amount } of postings) {
      if (debit.no === card.accountNo) month.debits += amount
      if (credit.no === card.accountNo) month.credits += amount
    }
  }

  /** In the order of their numbers. */
  *accountClosings(): Generator<NumberedAccount> {
    for (const [no, each] of [...this.accounts].sort(([a], [b]) => a - b)) {
      const { account, opening, debits, credits, debitCount, creditCount, version } = each
      yield {
        ...{ no, accountId: account.id, currency: account.currency, opening, debits, credits },
        ...{ debitCount, creditCount, closing: closingOf(each), version },
        ...{ days: netsOf(each.days), later: netsOf(each.later) },
      }
    }
  }

  /** In the order of their numbers. */
  *cardClosings(): Generator<NumberedCard> {
    for (const [no, each] of [...this.cards].sort(([a], [b]) => a - b)) {
      const { card, debits, credits } = each
      yield { no, card: card.card, debits, credits, spent: spentOf(each) }
    }
  }

  private move(month: AccountMonth, sequence: bigint, valueMs: number, signed: bigint): void {
    month.version = sequence
    if (valueMs < this.untilMs) addTo(month.days, Math.floor(valueMs / DAY_MS), signed)
    else addTo(month.later, valueMs, signed)
  }

  private monthOf(account: AccountState): AccountMonth {
    let month = this.accounts.get(account.no)
    if (month === undefined) {
      month = unmoved(account, 0n, 0n)
      this.accounts.set(account.no, month)
    }
    return month
  }

  private cardMonthOf(card: CardState): CardMonth {
    let month = this.cards.get(card.no)
    if (month === undefined) {
      month = { card, debits: 0n, credits: 0n, spentBefore: 0n }
      this.cards.set(card.no, month)
    }
    return month
  }
}

const unmoved = (account: AccountState, opening: bigint, version: bigint): AccountMonth => ({
  ...{ account, opening, version, debits: 0n, credits: 0n, debitCount: 0n, creditCount: 0n },
  ...{ days: new Map(), later: new Map() },
})

const closingOf = ({ opening, debits, credits }: AccountMonth): bigint => opening + credits - debits
const spentOf = ({ spentBefore, debits, credits }: CardMonth): bigint => spentBefore + debits - credits
