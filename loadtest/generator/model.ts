/**
 * An independent model of the ledger: one thread, plain maps, written from the contract and not from the engine, so that a
 * mistake in one shows against the other. It decides what the generator's records lead to; it doesn't cover what they never
 * do (reviews, expiry, daily limits, sources).
 */
import { hash } from 'node:crypto'
import { CURRENCIES } from '#domain/money/currency.ts'
import type {
  AccountChange,
  CardChange,
  Posting,
  RuleChange,
  TransactionCommand,
} from '#domain/transactions/command.ts'
import type { Outcome } from './records.ts'

interface ModelAccount {
  readonly currency: string
  readonly accountClass: string
  readonly isDebitNormal: boolean
  readonly limited: boolean
  readonly overdraft: bigint
  posted: bigint
  reserved: bigint
  status: 'open' | 'frozen' | 'closed'
}

interface ModelCard {
  readonly owner: string
  readonly expiresAt: number | null
  readonly limit: bigint | null
  blocked: boolean
}

/** What later records may refer to: what is left of each posting, to capture or to give back. */
interface ModelParent {
  readonly isAuthorization: boolean
  readonly isPosted: boolean
  readonly postings: readonly { readonly of: Posting; left: bigint }[]
  open: boolean
}

/** Final amounts of one account, minor units. */
export interface ModelBalance {
  readonly posted: bigint
  readonly reserved: bigint
}

const HOUR_MS = 3_600_000
const FUTURE_TOLERANCE_MS = 300_000
const AMOUNT_MAX = 10n ** 15n
const KNOWN_CURRENCIES: ReadonlySet<string> = new Set(CURRENCIES.map(({ code }) => code))

export class LedgerModel {
  readonly #accounts = new Map<string, ModelAccount>()
  readonly #cards = new Map<string, ModelCard>()
  readonly #rules = new Map<string, RuleChange>()
  /** Contents of the ids seen. */
  readonly #contents = new Map<string, string>()
  readonly #parents = new Map<string, ModelParent>()
  /** Event times of payments by account, for currencies with a velocity rule. */
  readonly #activity = new Map<string, number[]>()
  readonly #nowMs: number

  /** @param nowMs the ledger's time, which doesn't move here */
  constructor(nowMs: number) {
    this.#nowMs = nowMs
  }

  balances(): Map<string, ModelBalance> {
    return new Map([...this.#accounts].map(([id, { posted, reserved }]) => [id, { posted, reserved }]))
  }

  account(change: AccountChange): void {
    const known = this.#accounts.get(change.accountId)
    if (change.action === 'open' && known === undefined) {
      this.#accounts.set(change.accountId, {
        currency: change.currency ?? '',
        accountClass: change.accountClass,
        isDebitNormal: change.normalSide === 'debit',
        limited: change.limited,
        overdraft: change.overdraftLimit,
        posted: 0n,
        reserved: 0n,
        status: 'open',
      })
    }
    if (known === undefined) return
    if (change.action === 'freeze') known.status = 'frozen'
    if (change.action === 'close') known.status = 'closed'
  }

  card(change: CardChange): void {
    const known = this.#cards.get(change.card)
    if (change.action === 'issue' && known === undefined) {
      const { expiresAt, transactionLimit } = change
      this.#cards.set(change.card, {
        owner: change.accountId ?? '',
        expiresAt,
        limit: transactionLimit,
        blocked: false,
      })
    }
    if (change.action === 'block' && known !== undefined) known.blocked = true
  }

  rule(change: RuleChange): void {
    this.#rules.set(change.ruleId, change)
  }

  /** Decides a transaction. @param isParent whether later records name it: only then it is kept for them */
  transaction(command: TransactionCommand, isParent = true): Outcome {
    const content = contentOf(command)
    const before = this.#contents.get(command.id)
    if (before === content) return 'duplicate'
    const flaw = this.#flawOf(command)
    if (flaw === 'rejected:id_invalid' || flaw === 'rejected:card_number_refused') return flaw
    if (before !== undefined) return 'rejected:id_conflict'
    this.#contents.set(command.id, content)
    if (flaw !== null) return flaw
    if (command.kind === 'capture' || command.kind === 'void' || command.kind === 'reverse') {
      return this.#followUp(command)
    }
    return this.#payment(command, isParent)
  }

  #flawOf(command: TransactionCommand): Outcome | null {
    const { kind, postings } = command
    if (command.id === '' || command.id.length > 64) return 'rejected:id_invalid'
    if (kind === 'unknown') return 'rejected:kind_unknown'
    if (holdsCardNumber(command)) return 'rejected:card_number_refused'
    if ((command.merchant?.length ?? 0) > 64) return 'rejected:field_too_long'
    const isChild = kind === 'capture' || kind === 'void' || kind === 'reverse'
    if (postings.length > (kind === 'void' ? 0 : 100) || (!isChild && postings.length === 0)) {
      return 'rejected:postings_count'
    }
    if (postings.some(({ amount }) => amount < 1n)) return 'rejected:amount_not_positive'
    if (postings.some(({ amount }) => amount > AMOUNT_MAX)) return 'rejected:amount_too_large'
    if (postings.some(({ currency }) => !KNOWN_CURRENCIES.has(currency))) return 'rejected:currency_unknown'
    if (postings.some(({ debit, credit }) => debit === credit)) return 'rejected:same_account'
    if (isChild && !command.parentId) return 'rejected:parent_required'
    if (!isChild && command.parentId !== null) return 'rejected:parent_not_allowed'
    if (command.country !== null && !/^[A-Z][A-Z]$/.test(command.country)) return 'rejected:country_invalid'
    if (command.uetr !== null && !isUuid4(command.uetr)) return 'rejected:uetr_invalid'
    return command.occurredAt > this.#nowMs + FUTURE_TOLERANCE_MS ? 'rejected:time_in_future' : null
  }

  #payment(command: TransactionCommand, isParent: boolean): Outcome {
    const refusal = this.#accountRefusal(command) ?? this.#cardRefusal(command)
    if (refusal !== null) return refusal
    const judgement = this.#judge(command)
    if (judgement === 'reject') return 'rejected:fraud_rejected'
    const reserves = judgement === 'hold' || command.kind === 'authorize'
    if (!this.#affords(command.postings)) return 'rejected:insufficient_funds'
    for (const posting of command.postings) {
      if (reserves) this.#reserve(posting, posting.amount)
      else this.#move(posting, posting.amount)
    }
    if (isParent) {
      const isHeld = judgement === 'hold'
      this.#parents.set(command.id, {
        isAuthorization: reserves && !isHeld,
        isPosted: !reserves,
        postings: command.postings.map((of) => ({ of, left: of.amount })),
        open: true,
      })
    }
    if (judgement === 'hold') return 'held'
    return reserves ? 'authorized' : 'applied'
  }

  #accountRefusal({ kind, postings }: TransactionCommand): Outcome | null {
    const sides = postings.map(({ debit, credit, currency }) => ({
      debit: this.#accounts.get(debit),
      credit: this.#accounts.get(credit),
      currency,
    }))
    if (sides.some(({ debit, credit }) => !debit || !credit)) return 'rejected:unknown_account'
    const wrong = sides.some((s) => s.debit?.currency !== s.currency || s.credit?.currency !== s.currency)
    if (wrong) return 'rejected:currency_mismatch'
    if (kind === 'exchange') {
      const balanced = sides.every(
        (s) => s.debit?.accountClass === 'position' || s.credit?.accountClass === 'position',
      )
      const currencies = new Set(sides.map((s) => s.currency))
      if (!balanced || currencies.size !== 2) return 'rejected:exchange_invalid'
    }
    const statuses = sides.flatMap((s) => [s.debit?.status, s.credit?.status])
    if (statuses.includes('closed')) return 'rejected:account_closed'
    return statuses.includes('frozen') ? 'rejected:account_frozen' : null
  }

  #cardRefusal({ card, postings }: TransactionCommand): Outcome | null {
    if (card === null) return null
    const known = this.#cards.get(card)
    if (known === undefined) return 'rejected:card_unknown'
    let spent = 0n
    let concerned = false
    for (const { debit, credit, amount } of postings) {
      if (debit === known.owner) spent += amount
      if (credit === known.owner) spent -= amount
      concerned ||= debit === known.owner || credit === known.owner
    }
    if (!concerned) return 'rejected:card_account_mismatch'
    if (known.blocked) return 'rejected:card_blocked'
    if (known.expiresAt !== null && known.expiresAt <= this.#nowMs) return 'rejected:card_expired'
    return known.limit !== null && spent > known.limit ? 'rejected:card_limit_exceeded' : null
  }

  /** Fraud rules look at customers' payments only. */
  #judge({ postings, occurredAt }: TransactionCommand): 'none' | 'hold' | 'reject' {
    const { debit: payer, currency } = postings[0]!
    if (this.#accounts.get(payer)?.accountClass !== 'customer') return 'none'
    const amount = postings.reduce((sum, each) => (each.debit === payer ? sum + each.amount : sum), 0n)
    const actions = new Set<string>()
    for (const rule of this.#rules.values()) {
      if (rule.currency !== currency) continue
      const value = rule.type === 'amount_limit' ? amount : this.#countRecent(payer, occurredAt)
      if (value > rule.threshold) actions.add(rule.action)
    }
    if (actions.has('reject')) return 'reject'
    return actions.has('hold') ? 'hold' : 'none'
  }

  /** This payment and those of the hour before it. Called once a payment: there is one velocity rule a currency. */
  #countRecent(payer: string, occurredAt: number): bigint {
    const times = this.#activity.get(payer) ?? []
    times.push(occurredAt)
    this.#activity.set(payer, times)
    return BigInt(times.filter((time) => time > occurredAt - HOUR_MS).length)
  }

  /** Whether every account that ends lower stays within its limit. */
  #affords(postings: readonly Posting[]): boolean {
    const change = new Map<string, bigint>()
    for (const { debit, credit, amount } of postings) {
      change.set(debit, (change.get(debit) ?? 0n) - amount)
      change.set(credit, (change.get(credit) ?? 0n) + amount)
    }
    for (const [id, signed] of change) {
      const account = this.#accounts.get(id)!
      const own = account.isDebitNormal ? -signed : signed
      const balance = account.isDebitNormal ? -account.posted : account.posted
      if (own >= 0n || !account.limited) continue
      if (balance + own - account.reserved + account.overdraft < 0n) return false
    }
    return true
  }

  #move({ debit, credit }: Posting, amount: bigint): void {
    this.#accounts.get(debit)!.posted -= amount
    this.#accounts.get(credit)!.posted += amount
  }

  /** Money is reserved on the accounts that the movement would lower. Negative frees it. */
  #reserve({ debit, credit }: Posting, amount: bigint): void {
    const debited = this.#accounts.get(debit)!
    const credited = this.#accounts.get(credit)!
    if (!debited.isDebitNormal) debited.reserved += amount
    if (credited.isDebitNormal) credited.reserved += amount
  }

  #followUp(command: TransactionCommand): Outcome {
    const parent = this.#parents.get(command.parentId ?? '')
    if (parent === undefined) return 'rejected:parent_unknown'
    if (command.kind === 'void') return this.#void(parent)
    if (command.kind === 'capture') {
      if (!parent.isAuthorization) return 'rejected:parent_not_authorized'
      if (!parent.open) return 'rejected:parent_closed'
    } else if (!parent.isPosted) return 'rejected:parent_not_posted'
    const over =
      command.kind === 'capture'
        ? 'rejected:capture_exceeds_authorization'
        : 'rejected:reversal_exceeds_posted'
    const asked = command.postings.length > 0 ? command.postings : leftOf(parent)
    if (asked.length === 0) return over
    const matches = asked.map((posting) => ({
      posting,
      part: parent.postings.find((p) => same(p.of, posting)),
    }))
    if (matches.some(({ part }) => part === undefined)) return 'rejected:posting_not_in_parent'
    if (matches.some(({ posting, part }) => posting.amount > part!.left)) return over
    for (const { posting, part } of matches) {
      part!.left -= posting.amount
      if (command.kind === 'capture') this.#reserve(posting, -posting.amount)
      this.#move(posting, command.kind === 'capture' ? posting.amount : -posting.amount)
    }
    if (command.kind === 'capture' && leftOf(parent).length === 0) parent.open = false
    return 'applied'
  }

  #void(parent: ModelParent): Outcome {
    if (parent.isPosted) return 'rejected:parent_not_authorized'
    if (!parent.open) return 'rejected:parent_closed'
    for (const part of parent.postings) {
      this.#reserve(part.of, -part.left)
      part.left = 0n
    }
    parent.open = false
    return 'voided'
  }
}

const leftOf = (parent: ModelParent): Posting[] =>
  parent.postings.filter(({ left }) => left > 0n).map(({ of, left }) => ({ ...of, amount: left }))

const same = (a: Posting, b: Posting): boolean =>
  a.debit === b.debit && a.credit === b.credit && a.currency === b.currency

/** Content as text, hashed so that millions of them fit into memory. */
const contentOf = (command: TransactionCommand): string =>
  hash(
    'sha1',
    JSON.stringify(command, (_key, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value)),
    'base64',
  )

const isUuid4 = (text: string): boolean =>
  /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(text)

/** A run of 13 to 19 digits of a known issuer with a valid Luhn sum, in what people may write into. */
function holdsCardNumber({ merchant, metadata }: TransactionCommand): boolean {
  const texts = [merchant ?? '', ...Object.values(metadata)]
  return texts.some((text) =>
    (text.match(/(?<!\d)\d{13,19}(?!\d)/g) ?? []).some(
      (run) => /^[2-6]/.test(run) && luhnSum(run) % 10 === 0,
    ),
  )
}

function luhnSum(digits: string): number {
  let sum = 0
  for (const [place, digit] of [...digits].reverse().entries()) {
    const value = Number(digit) * (place % 2 === 1 ? 2 : 1)
    sum += value > 9 ? value - 9 : value
  }
  return sum
}
