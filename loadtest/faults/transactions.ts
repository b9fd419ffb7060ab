/**
 * What a run sends: the n-th transaction follows from the seed and n alone. Several currencies, accounts with and without limits, a
 * hot account; authorizations that are captured or voided, copies, conflicting copies, unknown accounts and bytes nobody can read.
 */
import type { SeededRandom } from './seeded-random.ts'

export interface PlannedAccount {
  readonly id: string
  readonly currency: string
  readonly limited: boolean
  /** Minor units. */
  readonly overdraftLimit: bigint
}

export interface PlannedPosting {
  readonly debit: string
  readonly credit: string
  /** Minor units. */
  readonly amount: bigint
  readonly currency: string
}

/** One record to send; `poison` holds the bytes of what can't be read. */
export interface PlannedRecord {
  /** Records with the same key keep their order. */
  readonly key: string
  readonly transaction?: {
    readonly id: string
    readonly kind: 'post' | 'authorize' | 'capture' | 'void'
    readonly parentId: string | null
    readonly postings: readonly PlannedPosting[]
  }
  readonly poison?: 'cut short' | 'unknown schema'
}

export const CURRENCIES = ['EUR', 'USD', 'JPY'] as const

/** Of 1,000 transactions. */
const SHARE = { unknownAccount: 10, multiple: 80, authorize: 60, copy: 20, conflict: 5, poison: 5 }
/** Every third account has a limit, so low that some payments are refused. */
const LIMITED_EVERY = 3
const OVERDRAFT_LIMIT = 250_000n
const AMOUNT_MAX = 100_000
/** Of 100 choices of an account so many fall on the same one. */
const HOT_SHARE = 10
/** How many transactions later an authorization is captured or voided. */
const FOLLOWED_AFTER = 40
const VOIDED_SHARE = 30

export const planAccounts = (count: number): PlannedAccount[] =>
  Array.from({ length: count }, (_, place) => {
    const limited = place % LIMITED_EVERY === LIMITED_EVERY - 1
    return {
      id: `account-${String(place).padStart(4, '0')}`,
      currency: CURRENCIES[Math.floor(place / LIMITED_EVERY) % CURRENCIES.length]!,
      limited,
      overdraftLimit: limited ? OVERDRAFT_LIMIT : 0n,
    }
  })

/** Makes the records, transaction after transaction. */
export class TransactionPlan {
  readonly #random: SeededRandom
  readonly #byCurrency: ReadonlyMap<string, readonly PlannedAccount[]>
  /** Authorizations yet to be captured or voided, and by which transaction. */
  readonly #open: { at: number; id: string; key: string }[] = []
  #count = 0

  constructor(accounts: readonly PlannedAccount[], random: SeededRandom) {
    this.#random = random
    this.#byCurrency = new Map(
      CURRENCIES.map((currency) => [currency, accounts.filter((account) => account.currency === currency)]),
    )
  }

  /** The records of the next transaction: one, or two where it is sent again. */
  next(): PlannedRecord[] {
    this.#count += 1
    const due = this.#open[0]
    if (due !== undefined && due.at <= this.#count) {
      this.#open.shift()
      return [this.#followUp(due)]
    }
    const choice = this.#random.below(1_000)
    if (choice < SHARE.poison) {
      const poison = this.#random.below(2) === 0 ? 'cut short' : 'unknown schema'
      return [{ key: `p-${this.#count}`, poison }]
    }
    const record = this.#make(choice - SHARE.poison)
    const again = this.#random.below(1_000)
    if (again < SHARE.copy) return [record, { ...record, key: this.#anyKey() }]
    if (again < SHARE.copy + SHARE.conflict) return [record, this.#conflicting(record)]
    return [record]
  }

  #make(choice: number): PlannedRecord {
    const id = `t-${this.#count}`
    const postings = [this.#posting()]
    const bounds = [SHARE.unknownAccount, SHARE.multiple, SHARE.authorize]
    if (choice < bounds[0]!) {
      return this.#post(id, [{ ...postings[0]!, credit: 'nobody' }])
    }
    if (choice < bounds[0]! + bounds[1]!) {
      const more = 1 + this.#random.below(3)
      for (let left = more; left > 0; left -= 1) postings.push(this.#posting())
      return this.#post(id, postings)
    }
    if (choice < bounds[0]! + bounds[1]! + bounds[2]!) {
      const key = `a-${this.#count}`
      this.#open.push({ at: this.#count + FOLLOWED_AFTER, id, key })
      return { key, transaction: { id, kind: 'authorize', parentId: null, postings } }
    }
    return this.#post(id, postings)
  }

  #post(id: string, postings: readonly PlannedPosting[]): PlannedRecord {
    return { key: this.#anyKey(), transaction: { id, kind: 'post', parentId: null, postings } }
  }

  /** Under the authorization's key, so that it comes behind it. */
  #followUp({ id, key }: { id: string; key: string }): PlannedRecord {
    const kind = this.#random.below(100) < VOIDED_SHARE ? 'void' : 'capture'
    return { key, transaction: { id: `t-${this.#count}`, kind, parentId: id, postings: [] } }
  }

  /** The same id, another amount. Which of the two comes first, wins. */
  #conflicting(record: PlannedRecord): PlannedRecord {
    const transaction = record.transaction!
    const postings = transaction.postings.map((posting) => ({ ...posting, amount: posting.amount + 1n }))
    return { key: this.#anyKey(), transaction: { ...transaction, postings } }
  }

  #posting(): PlannedPosting {
    const currency = CURRENCIES[this.#random.below(CURRENCIES.length)]!
    const accounts = this.#byCurrency.get(currency)!
    const debit = this.#random.below(accounts.length)
    let credit = this.#random.below(100) < HOT_SHARE ? 0 : this.#random.below(accounts.length)
    if (credit === debit) credit = (debit + 1) % accounts.length
    return {
      debit: accounts[debit]!.id,
      credit: accounts[credit]!.id,
      amount: BigInt(1 + this.#random.below(AMOUNT_MAX)),
      currency,
    }
  }

  /** Often another partition and another processor than its copy's. */
  #anyKey(): string {
    return `k-${this.#random.below(1_000_000)}`
  }
}
