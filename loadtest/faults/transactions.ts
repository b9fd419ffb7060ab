/**
 * What a run sends: the n-th transaction follows from the seed and n alone. Several currencies, accounts with and without limits, a
 * hot account; authorizations that are captured (also in parts) or voided, payments that are given back (also in parts, or too
 * much), exchanges, payments that are held and reviewed, copies, conflicting copies, unknown accounts and bytes nobody can read.
 */
import { ReferencePlan, type ReferenceRecord, reviewOf } from './reference-plan.ts'
import type { SeededRandom } from './seeded-random.ts'

export interface PlannedAccount {
  readonly id: string
  readonly currency: string
  /** Position accounts carry the two sides of exchanges. */
  readonly accountClass: 'customer' | 'position'
  readonly limited: boolean
  /** Minor units. */
  readonly overdraftLimit: bigint
  /** Whether a reversal may pass the limit. */
  readonly reversalMayOverdraw: boolean
}

export interface PlannedPosting {
  readonly debit: string
  readonly credit: string
  /** Minor units. */
  readonly amount: bigint
  readonly currency: string
}

export interface PlannedTransaction {
  readonly id: string
  readonly kind: 'post' | 'authorize' | 'capture' | 'void' | 'reverse' | 'exchange'
  readonly parentId: string | null
  readonly postings: readonly PlannedPosting[]
}

/** One record to send to `transactions`; `poison` holds the bytes of what can't be read. */
export interface TransactionRecord {
  readonly topic: 'transactions'
  /** Records with the same key keep their order. */
  readonly key: string
  readonly transaction?: PlannedTransaction
  readonly poison?: 'cut short' | 'unknown schema'
}

export type PlannedRecord = TransactionRecord | ReferenceRecord

export const CURRENCIES = ['EUR', 'USD', 'JPY'] as const

/** Of 1,000 transactions. */
const SHARE = { poison: 5, unknownAccount: 10, multiple: 80, authorize: 60, exchange: 40, returned: 60 }
const AGAIN = { copy: 20, conflict: 5 }
/** Every third account has a limit, so low that some payments are refused. */
const LIMITED_EVERY = 3
const OVERDRAFT_LIMIT = 250_000n
const AMOUNT_MAX = 100_000
/** The rules hold most payments above it (reference-plan.ts): they are reviewed. */
const REVIEWED_ABOVE = 95_000n
/** Of 100 choices of an account so many fall on the same one. */
const HOT_SHARE = 10
/** How many transactions later an authorization is captured or voided, a payment given back, a held one reviewed. */
const FOLLOWED_AFTER = 40
/** Of 100 follow-ups. */
const FOLLOW_UP = { voided: 30, captured: 70, returned: 50, returnedInPart: 80, released: 60, declined: 80 }

export const planAccounts = (count: number): PlannedAccount[] => [
  ...Array.from({ length: count }, (_, place): PlannedAccount => {
    const limited = place % LIMITED_EVERY === LIMITED_EVERY - 1
    return {
      id: `account-${String(place).padStart(4, '0')}`,
      currency: CURRENCIES[Math.floor(place / LIMITED_EVERY) % CURRENCIES.length]!,
      accountClass: 'customer',
      limited,
      overdraftLimit: limited ? OVERDRAFT_LIMIT : 0n,
      reversalMayOverdraw: place % (2 * LIMITED_EVERY) === LIMITED_EVERY - 1,
    }
  }),
  ...CURRENCIES.map(
    (currency): PlannedAccount => ({
      id: positionOf(currency),
      currency,
      accountClass: 'position',
      limited: false,
      overdraftLimit: 0n,
      reversalMayOverdraw: false,
    }),
  ),
]

const positionOf = (currency: string): string => `position-${currency}`

/** What is still to be done about an earlier transaction. */
interface FollowUp {
  /** By which transaction. */
  readonly at: number
  readonly about: 'authorization' | 'posted' | 'held'
  readonly id: string
  readonly key: string
  readonly postings: readonly PlannedPosting[]
}

/** Makes the records, transaction after transaction. */
export class TransactionPlan {
  readonly #random: SeededRandom
  readonly #byCurrency: ReadonlyMap<string, readonly PlannedAccount[]>
  readonly #references: ReferencePlan
  readonly #due: FollowUp[] = []
  #count = 0

  constructor(accounts: readonly PlannedAccount[], random: SeededRandom) {
    this.#random = random
    const customers = accounts.filter(({ accountClass }) => accountClass === 'customer')
    this.#byCurrency = new Map(
      CURRENCIES.map((currency) => [currency, customers.filter((account) => account.currency === currency)]),
    )
    this.#references = new ReferencePlan(customers, random)
  }

  /** The records of the next transaction: one, or two where it is sent again; and now and then a change of accounts or rules. */
  next(): PlannedRecord[] {
    this.#count += 1
    return [...this.#transaction(), ...this.#references.next(this.#count)]
  }

  #transaction(): PlannedRecord[] {
    const due = this.#due[0]
    if (due !== undefined && due.at <= this.#count) {
      this.#due.shift()
      const followUp = due.about === 'held' ? this.#review(due) : this.#followUp(due)
      if (followUp !== undefined) return [followUp]
    }
    const choice = this.#random.below(1_000)
    if (choice < SHARE.poison) {
      const poison = this.#random.below(2) === 0 ? 'cut short' : 'unknown schema'
      return [{ topic: 'transactions', key: `p-${this.#count}`, poison }]
    }
    const record = this.#make(choice - SHARE.poison)
    const again = this.#random.below(1_000)
    if (again < AGAIN.copy) return [record, { ...record, key: this.#anyKey() }]
    if (again < AGAIN.copy + AGAIN.conflict) return [record, this.#conflicting(record)]
    return [record]
  }

  #make(choice: number): TransactionRecord {
    const postings = [this.#posting()]
    let left = choice - SHARE.unknownAccount
    if (left < 0) return this.#record({ kind: 'post', postings: [{ ...postings[0]!, credit: 'nobody' }] })
    left -= SHARE.multiple
    if (left < 0) {
      for (let more = 1 + this.#random.below(3); more > 0; more -= 1) postings.push(this.#posting())
      return this.#record({ kind: 'post', postings })
    }
    left -= SHARE.authorize
    if (left < 0) return this.#record({ kind: 'authorize', postings }, 'authorization')
    left -= SHARE.exchange
    if (left < 0) return this.#record({ kind: 'exchange', postings: this.#exchange() }, 'posted')
    left -= SHARE.returned
    return this.#record({ kind: 'post', postings }, left < 0 ? 'posted' : undefined)
  }

  /** @param about what will be done about it later; then all of it has one key, so that it comes behind it */
  #record(
    of: Pick<PlannedTransaction, 'kind' | 'postings'>,
    about?: 'authorization' | 'posted',
  ): TransactionRecord {
    const id = `t-${this.#count}`
    const key = about === undefined ? this.#anyKey() : `f-${this.#count}`
    const later = { at: this.#count + FOLLOWED_AFTER, id, key, postings: of.postings }
    if (of.postings[0]!.amount > REVIEWED_ABOVE) this.#due.push({ ...later, about: 'held' })
    if (about !== undefined) this.#due.push({ ...later, about })
    return { topic: 'transactions', key, transaction: { id, parentId: null, ...of } }
  }

  /** Captures, voids and reverses, also of parts; of some parts more is left. */
  #followUp(due: FollowUp): TransactionRecord {
    const { about, id, key, postings } = due
    const choice = this.#random.below(100)
    const of = (kind: PlannedTransaction['kind'], parts: readonly PlannedPosting[]): TransactionRecord => ({
      topic: 'transactions',
      key,
      transaction: { id: `t-${this.#count}`, kind, parentId: id, postings: parts },
    })
    const part = postings.slice(0, 1).map((posting) => ({ ...posting, amount: (posting.amount + 1n) / 2n }))
    const tooMuch = postings.slice(0, 1).map((posting) => ({ ...posting, amount: posting.amount + 1n }))
    const later = () => this.#due.push({ ...due, at: this.#count + FOLLOWED_AFTER })
    if (about === 'authorization') {
      if (choice < FOLLOW_UP.voided) return of('void', [])
      if (choice < FOLLOW_UP.captured) return of('capture', [])
      later()
      return of('capture', part)
    }
    if (choice < FOLLOW_UP.returned) return of('reverse', [])
    if (choice >= FOLLOW_UP.returnedInPart) return of('reverse', tooMuch)
    later()
    return of('reverse', part)
  }

  /** On a topic of its own: it may come before what it is about, or find that nothing is held. */
  #review({ id, key }: FollowUp): PlannedRecord | undefined {
    const choice = this.#random.below(100)
    if (choice < FOLLOW_UP.released) return reviewOf(id, 'release')
    if (choice < FOLLOW_UP.declined) return reviewOf(id, 'decline')
    if (this.#random.below(2) === 0) return undefined
    const transaction = { id: `t-${this.#count}`, kind: 'void' as const, parentId: id, postings: [] }
    return { topic: 'transactions', key, transaction }
  }

  /** The same id, another amount. Which of the two comes first, wins. */
  #conflicting(record: TransactionRecord): TransactionRecord {
    const transaction = record.transaction!
    const postings = transaction.postings.map((posting) => ({ ...posting, amount: posting.amount + 1n }))
    return { topic: 'transactions', key: this.#anyKey(), transaction: { ...transaction, postings } }
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
      amount: this.#amount(),
      currency,
    }
  }

  /** One currency is given up, another taken, each against its position account. */
  #exchange(): PlannedPosting[] {
    const first = this.#random.below(CURRENCIES.length)
    const second = (first + 1 + this.#random.below(CURRENCIES.length - 1)) % CURRENCIES.length
    const [from, to] = [CURRENCIES[first]!, CURRENCIES[second]!]
    return [
      { debit: this.#customer(from), credit: positionOf(from), amount: this.#amount(), currency: from },
      { debit: positionOf(to), credit: this.#customer(to), amount: this.#amount(), currency: to },
    ]
  }

  #customer(currency: string): string {
    const accounts = this.#byCurrency.get(currency)!
    return accounts[this.#random.below(accounts.length)]!.id
  }

  #amount(): bigint {
    return BigInt(1 + this.#random.below(AMOUNT_MAX))
  }

  /** Often another partition and another processor than its copy's. */
  #anyKey(): string {
    return `k-${this.#random.below(1_000_000)}`
  }
}
