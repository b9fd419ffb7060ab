/**
 * A ledger as simple as can be, that shares no code with the engine's: what each intended record must come to, one after the
 * other. All its accounts are credit-normal, so money leaves an account by its debits.
 */
import type {
  IntendedAccount,
  IntendedPosting,
  IntendedReview,
  IntendedRule,
  IntendedTick,
  IntendedTransaction,
  Intent,
} from './intents.ts'
import { keyOf } from './keys.ts'
import { RulebookModel } from './rulebook-model.ts'

export interface ModelAccount {
  readonly currency: string
  readonly isCustomer: boolean
  limited: boolean
  overdraftLimit: bigint
  isFrozen: boolean
  posted: bigint
  reserved: bigint
  /** The limit was lowered under what was there: then it may be passed already. */
  wasLowered: boolean
}

interface ModelHold {
  readonly key: string
  readonly of: IntendedTransaction
  readonly isReview: boolean
  readonly expiresAt: number
  left: bigint[]
  status: string
}

/** What must be found in the ledger for one decision about a transaction. */
export interface Expected {
  readonly id: string
  readonly cause: 'transaction' | 'review' | 'tick'
  readonly status: string
  readonly reason: string | null
  /** Money moved. */
  readonly moved: readonly IntendedPosting[]
}

const WEEK_MS = 7 * 86_400_000
const PENDING_MAX = 64

const contentOf = (transaction: IntendedTransaction): string =>
  JSON.stringify(transaction, (_name, value: unknown) => (typeof value === 'bigint' ? String(value) : value))

export class LedgerModel {
  readonly accounts = new Map<string, ModelAccount>()
  readonly touched = new Set<string>()
  nowMs: number
  rulesChanged = false
  sequence = 0n
  readonly book = new RulebookModel()
  private readonly contents = new Map<string, string>()
  private readonly holds = new Map<string, ModelHold>()
  private readonly posted = new Map<
    string,
    { readonly isReversal: boolean; readonly postings: readonly IntendedPosting[]; given: bigint[] }
  >()
  private readonly rules = new Map<string, IntendedRule>()
  private pending: IntendedTick[] = []
  private readonly passed = new Map<string, bigint>()

  constructor(nowMs: number) {
    this.nowMs = nowMs
  }

  /** How far a partition is decided. */
  position(name: string): bigint {
    return this.passed.get(name) ?? 0n
  }

  /** Where the ledger began to read a partition. */
  begin(name: string, offset: bigint): void {
    if (!this.passed.has(name)) this.passed.set(name, offset)
  }

  /** The next record or skipped stretch of a partition. @returns the decisions that it must lead to */
  decide(name: string, next: bigint, intent: Intent | null): Expected[] {
    const expected = intent === null ? [] : this.decideIntent(intent)
    this.passed.set(name, next)
    if (intent?.type === 'tick') this.takeTick(intent)
    for (let first = this.pending[0]; first !== undefined; first = this.pending[0]) {
      if (first.ends.some((end) => this.isOpen(end))) break
      this.pending.shift()
      this.nowMs = first.time
      expected.push(...this.expire())
    }
    return expected
  }

  private isOpen(end: IntendedTick['ends'][number]): boolean {
    return end.topic !== 'ticks' && this.position(`${end.topic}:${end.partition}`) < end.end
  }

  private takeTick(tick: IntendedTick): void {
    if (tick.time <= (this.pending.at(-1)?.time ?? this.nowMs)) return
    // A later tick that names a smaller end, or none, says that there is nothing to wait for.
    this.pending = this.pending.map((earlier) => ({
      ...earlier,
      ends: earlier.ends.map((end) => {
        const later = tick.ends.find((e) => e.topic === end.topic && e.partition === end.partition)?.end ?? 0n
        return later < end.end ? { ...end, end: later } : end
      }),
    }))
    if (this.pending.length >= PENDING_MAX) this.pending.pop()
    this.pending.push(tick)
  }

  private decideIntent(intent: Intent): Expected[] {
    switch (intent.type) {
      case 'transaction':
        return [this.decideTransaction(intent)]
      case 'account':
        this.decideAccount(intent)
        return []
      case 'rule':
        this.rules.set(intent.ruleId, intent)
        this.rulesChanged = true
        return []
      case 'rulebook':
        if (this.book.decide(intent, this.sequence)) this.rulesChanged = true
        return []
      case 'label':
        for (const payer of this.book.label(intent, this.contents)) this.touched.add(payer)
        return []
      case 'review':
        return this.decideReview(intent)
      default:
        return []
    }
  }

  private decideAccount(intent: IntendedAccount): void {
    const known = this.accounts.get(intent.id)
    if (intent.action === 'open') {
      if (known !== undefined) return
      this.accounts.set(intent.id, {
        currency: intent.currency,
        isCustomer: intent.isCustomer,
        limited: intent.limited,
        overdraftLimit: intent.limited ? intent.overdraftLimit : 0n,
        isFrozen: false,
        posted: 0n,
        reserved: 0n,
        wasLowered: false,
      })
      this.touched.add(intent.id)
      return
    }
    if (known === undefined) return
    if (intent.action === 'freeze') known.isFrozen = true
    else if (intent.action === 'unfreeze') {
      if (!known.isFrozen) return
      known.isFrozen = false
    } else {
      known.wasLowered = true
      known.limited = intent.limited
      known.overdraftLimit = intent.limited ? intent.overdraftLimit : 0n
    }
    this.touched.add(intent.id)
  }

  private decideTransaction(intent: IntendedTransaction): Expected {
    const key = keyOf(intent.source, intent.id)
    const content = contentOf(intent)
    const known = this.contents.get(key)
    if (known === content) return expect(intent, 'duplicate')
    if (known !== undefined) return expect(intent, 'rejected', 'id_conflict')
    this.contents.set(key, content)
    if (intent.postings.some((posting) => posting.amount <= 0n)) {
      return expect(intent, 'rejected', 'amount_not_positive')
    }
    if (intent.postings.some((posting) => posting.debit === posting.credit)) {
      return expect(intent, 'rejected', 'same_account')
    }
    if (intent.kind === 'capture') return this.capture(intent)
    if (intent.kind === 'void') return this.void(intent)
    if (intent.kind === 'reverse') return this.reverse(intent)
    return this.pay(intent, key, true, 'transaction')
  }

  private pay(
    intent: IntendedTransaction,
    key: string,
    withFraud: boolean,
    cause: Expected['cause'],
  ): Expected {
    const refused = this.refusal(intent.postings)
    if (refused !== null) return expect(intent, 'rejected', refused, cause)
    const { isCustomer } = this.accounts.get(intent.postings[0]!.debit)!
    const count = withFraud && isCustomer ? this.book.look(intent, key) : null
    const decided = this.payLookedAt(intent, key, withFraud ? this.fraud(intent, count) : 'none', cause)
    if (count !== null && decided.status !== 'rejected') this.book.note(intent.terminal!, count)
    return decided
  }

  private payLookedAt(
    intent: IntendedTransaction,
    key: string,
    action: 'none' | 'alert' | 'hold' | 'reject',
    cause: Expected['cause'],
  ): Expected {
    if (action === 'reject') return expect(intent, 'rejected', 'fraud_rejected', cause)
    if (action === 'hold' || intent.kind === 'authorize') {
      if (!this.reserve(intent.postings)) return expect(intent, 'rejected', 'insufficient_funds', cause)
      const isReview = action === 'hold'
      this.holds.set(key, {
        key,
        of: intent,
        isReview,
        expiresAt: isReview ? this.nowMs + WEEK_MS : (intent.expiresAt ?? this.nowMs + WEEK_MS),
        left: intent.postings.map((posting) => posting.amount),
        status: 'active',
      })
      return expect(intent, isReview ? 'held' : 'authorized', null, cause)
    }
    if (!this.move(intent.postings, true)) return expect(intent, 'rejected', 'insufficient_funds', cause)
    this.keepPosted(key, intent.postings, false)
    return expect(intent, 'applied', null, cause, intent.postings)
  }

  private keepPosted(key: string, postings: readonly IntendedPosting[], isReversal: boolean): void {
    this.posted.set(key, { isReversal, postings, given: postings.map(() => 0n) })
  }

  private refusal(postings: readonly IntendedPosting[]): string | null {
    const pairs = postings.map((p) => [this.accounts.get(p.debit), this.accounts.get(p.credit), p] as const)
    if (pairs.some(([debit, credit]) => debit === undefined || credit === undefined)) return 'unknown_account'
    if (pairs.some(([d, c, p]) => d!.currency !== p.currency || c!.currency !== p.currency)) {
      return 'currency_mismatch'
    }
    return pairs.some(([debit, credit]) => debit!.isFrozen || credit!.isFrozen) ? 'account_frozen' : null
  }

  private fraud(intent: IntendedTransaction, count: number | null): 'none' | 'alert' | 'hold' | 'reject' {
    const payerId = intent.postings[0]!.debit
    const payer = this.accounts.get(payerId)!
    if (!payer.isCustomer) return 'none'
    this.touched.add(payerId)
    let paid = 0n
    for (const posting of intent.postings) if (posting.debit === payerId) paid += posting.amount
    const order = ['none', 'alert', 'hold', 'reject'] as const
    let strongest = this.book.holds(count) ? order.indexOf('hold') : 0
    for (const rule of this.rules.values()) {
      if (!rule.enabled || rule.currency !== payer.currency || paid <= rule.threshold) continue
      strongest = Math.max(strongest, order.indexOf(rule.action))
    }
    return order[strongest]!
  }

  private isWithin(account: ModelAccount): boolean {
    return !account.limited || account.posted - account.reserved + account.overdraftLimit >= 0n
  }

  private move(postings: readonly IntendedPosting[], withLimits: boolean): boolean {
    const change = new Map<string, bigint>()
    for (const { debit, credit, amount } of postings) {
      change.set(debit, (change.get(debit) ?? 0n) - amount)
      change.set(credit, (change.get(credit) ?? 0n) + amount)
    }
    for (const [id, amount] of change) this.accounts.get(id)!.posted += amount
    const isRefused =
      withLimits && [...change].some(([id, amount]) => amount < 0n && !this.isWithin(this.accounts.get(id)!))
    if (isRefused) for (const [id, amount] of change) this.accounts.get(id)!.posted -= amount
    else for (const id of change.keys()) this.touched.add(id)
    return !isRefused
  }

  private reserve(postings: readonly IntendedPosting[]): boolean {
    for (const { debit, amount } of postings) this.accounts.get(debit)!.reserved += amount
    if (postings.every(({ debit }) => this.isWithin(this.accounts.get(debit)!))) {
      for (const { debit } of postings) this.touched.add(debit)
      return true
    }
    for (const { debit, amount } of postings) this.accounts.get(debit)!.reserved -= amount
    return false
  }

  private free(hold: ModelHold, status: string): void {
    for (const [place, amount] of hold.left.entries()) {
      const { debit } = hold.of.postings[place]!
      this.accounts.get(debit)!.reserved -= amount
      if (amount > 0n) this.touched.add(debit)
    }
    hold.left = hold.left.map(() => 0n)
    hold.status = status
  }

  private capture(intent: IntendedTransaction): Expected {
    const parent = keyOf(intent.source, intent.parentId!)
    const hold = this.holds.get(parent)
    if (hold === undefined) {
      return expect(intent, 'rejected', this.posted.has(parent) ? 'parent_not_authorized' : 'parent_unknown')
    }
    if (hold.isReview) return expect(intent, 'rejected', 'parent_not_authorized')
    if (hold.status !== 'active') return expect(intent, 'rejected', 'parent_closed')
    const { postings } = hold.of
    const moved = postings
      .map((posting, place) => ({ ...posting, amount: hold.left[place]! }))
      .filter(({ amount }) => amount > 0n)
    const ids = moved.flatMap(({ debit, credit }) => [debit, credit])
    if (ids.some((id) => this.accounts.get(id)!.isFrozen)) return expect(intent, 'rejected', 'account_frozen')
    this.move(moved, false)
    this.free(hold, 'captured')
    this.keepPosted(keyOf(intent.source, intent.id), moved, false)
    return expect(intent, 'applied', null, 'transaction', moved)
  }

  private void(intent: IntendedTransaction): Expected {
    const parent = keyOf(intent.source, intent.parentId!)
    const hold = this.holds.get(parent)
    if (hold === undefined) {
      return expect(intent, 'rejected', this.posted.has(parent) ? 'parent_not_authorized' : 'parent_unknown')
    }
    if (hold.status !== 'active') return expect(intent, 'rejected', 'parent_closed')
    this.free(hold, 'voided')
    return expect(intent, 'voided')
  }

  private reverse(intent: IntendedTransaction): Expected {
    const key = keyOf(intent.source, intent.parentId!)
    const parent = this.posted.get(key)
    if (parent === undefined) {
      return expect(intent, 'rejected', this.holds.has(key) ? 'parent_not_posted' : 'parent_unknown')
    }
    if (parent.isReversal) return expect(intent, 'rejected', 'parent_not_posted')
    const left = parent.postings
      .map((posting, place) => ({ posting, place, amount: posting.amount - parent.given[place]! }))
      .filter(({ amount }) => amount > 0n)
    if (left.length === 0) return expect(intent, 'rejected', 'reversal_exceeds_posted')
    const back = left.map(({ posting, amount }) => ({
      ...posting,
      amount,
      debit: posting.credit,
      credit: posting.debit,
    }))
    const ids = back.flatMap(({ debit, credit }) => [debit, credit])
    if (ids.some((id) => this.accounts.get(id)!.isFrozen)) return expect(intent, 'rejected', 'account_frozen')
    if (!this.move(back, true)) return expect(intent, 'rejected', 'insufficient_funds')
    for (const { place, amount } of left) parent.given[place]! += amount
    this.keepPosted(keyOf(intent.source, intent.id), back, true)
    return expect(intent, 'applied', null, 'transaction', back)
  }

  private decideReview(intent: IntendedReview): Expected[] {
    const hold = this.holds.get(keyOf(intent.source, intent.id))
    if (hold === undefined || !hold.isReview || hold.status !== 'active') return []
    if (!intent.release) {
      this.free(hold, 'declined')
      return [expect(hold.of, 'declined', null, 'review')]
    }
    this.free(hold, 'released')
    const result = this.pay(hold.of, hold.key, false, 'review')
    if (result.status === 'rejected') hold.status = 'rejected'
    return [result]
  }

  private expire(): Expected[] {
    const due = [...this.holds.values()].filter((h) => h.status === 'active' && h.expiresAt <= this.nowMs)
    due.sort((a, b) => a.expiresAt - b.expiresAt || (a.key < b.key ? -1 : 1))
    for (const hold of due) this.free(hold, 'expired')
    return due.map((hold) => expect(hold.of, 'expired', null, 'tick'))
  }
}

const expect = (
  intent: IntendedTransaction,
  status: string,
  reason: string | null = null,
  cause: Expected['cause'] = 'transaction',
  moved: readonly IntendedPosting[] = [],
): Expected => ({ id: intent.id, cause, status, reason, moved })
