/** Is Postgres what must have become of the topic? Nothing lost, nothing twice, money kept, limits kept at every step. */
import type { Findings } from '../findings.ts'
import { Book, type Verdict } from './book.ts'
import { type BatchOrder, type DecidedPlace, decidedPlaces } from './decided-order.ts'
import { describeAccount, describeRule, ExpectedOutputs } from './expected-outputs.ts'
import {
  type AccountInput,
  type Input,
  type InputLog,
  type InputPosting,
  isReference,
  type ReviewInput,
  type RuleInput,
} from './input-log.ts'
import type {
  HistoryPart,
  StoredAccount,
  StoredDeadLetter,
  StoredPosting,
  StoredRule,
  StoredTransaction,
} from './stored-ledger.ts'

const TOPIC = 'transactions'
const REVIEWS = 'reviews'
const EFFECTS: ReadonlySet<string> = new Set(['applied', 'authorized', 'held', 'voided', 'declined'])
const LOWERING: ReadonlySet<string> = new Set(['applied', 'authorized', 'held'])
/** ISO 4217 numbers of what a run uses. */
const CURRENCY_CODES: Readonly<Record<number, string>> = { 978: 'EUR', 840: 'USD', 392: 'JPY' }

export class HistoryCheck {
  readonly outputs = new ExpectedOutputs()
  /** Decisions by status. */
  readonly counts: Record<string, number> = {}
  deadLetters = 0
  readonly #findings: Findings
  readonly #inputs: InputLog
  readonly #book: Book
  /** Content by id: whoever is first has it. */
  readonly #claimed = new Map<string, string>()
  readonly #decisions = new Map<string, number>()
  readonly #letters = new Map<string, string[]>()
  readonly #conflicts = new Set<string>()
  /** Accounts whose reference data the batch has changed. */
  readonly #changed = new Set<string>()
  /** Changes of rules that took effect, as Postgres must have them. */
  readonly #rules: string[] = []

  constructor(findings: Findings, inputs: InputLog) {
    this.#findings = findings
    this.#inputs = inputs
    const parents = new Set<string>()
    for (const { input } of inputs.places()) {
      if (input?.kind === 'reverse' && input.parentId !== null) parents.add(input.parentId)
    }
    this.#book = new Book((id) => parents.has(id))
  }

  /** Takes the next stretch of the history. */
  take(part: HistoryPart): void {
    const postings = new Map<string, StoredPosting[]>()
    for (const posting of part.postings) {
      const name = `${posting.sequence}.${posting.index}`
      const list = postings.get(name)
      if (list === undefined) postings.set(name, [posting])
      else list.push(posting)
    }
    for (const letter of part.deadLetters) this.#takeLetter(letter)
    const orders = new Map(part.orders.map((order) => [order.sequence, order]))
    const rows = new Map(part.orders.map(({ sequence }) => [sequence, [] as StoredTransaction[]]))
    for (const row of part.transactions) {
      const list = rows.get(row.sequence)
      if (list === undefined) rows.set(row.sequence, [row])
      else list.push(row)
    }
    for (const [sequence, list] of [...rows].sort(([a], [b]) => Number(a - b))) {
      const changes = new Changes(orders.get(sequence), this.#inputs)
      for (const transaction of list) {
        this.#change(sequence, changes.before(transaction))
        const name = `${transaction.sequence}.${transaction.index}`
        this.#takeTransaction(transaction, postings.get(name) ?? [])
        postings.delete(name)
      }
      this.#change(sequence, changes.rest())
      this.#endBatch(sequence)
    }
    for (const name of postings.keys()) {
      this.#findings.check('every posting is one that was sent', false, () => `${name}: no such transaction`)
    }
  }

  /** After the whole history. @returns by currency what all balances sum to, minor units: zero where money was kept */
  finish(accounts: readonly StoredAccount[], rules: readonly StoredRule[]): Record<string, bigint> {
    for (const { partition, offset, input } of this.#inputs.places()) {
      this.#checkPlace(`${partition}:${offset}`, input)
    }
    const stored = rules.map((rule) => `${rule.ruleId}@${rule.version}: ${describeRule(rule)}`)
    for (let place = 0; place < Math.max(stored.length, this.#rules.length); place += 1) {
      this.#findings.same(
        'rules are what was asked for',
        `change ${place}`,
        this.#rules[place],
        stored[place],
      )
    }
    const sums: Record<string, bigint> = Object.fromEntries(
      Object.values(CURRENCY_CODES).map((code) => [code, 0n]),
    )
    for (const { id, currency, posted, reserved, ...reference } of accounts) {
      const account = this.#book.accounts.get(id)
      const describe = (of: Pick<StoredAccount, 'status' | 'limited' | 'overdraftLimit'> | undefined) =>
        of && `${of.status}, ${of.limited ? of.overdraftLimit : 'no limit'}`
      this.#findings.same('accounts are what was asked for', id, describe(account), describe(reference))
      this.#findings.same('balance = fold of the postings', id, account?.posted, posted)
      this.#findings.same('reserved = what is authorized and open', id, account?.reserved, reserved)
      const code = CURRENCY_CODES[currency] ?? String(currency)
      sums[code] = (sums[code] ?? 0n) + posted
    }
    return sums
  }

  #takeLetter(letter: StoredDeadLetter): void {
    this.outputs.addDeadLetter(letter)
    this.deadLetters += 1
    if (letter.topic !== TOPIC) {
      this.#findings.check(
        'nothing is decided that was not sent',
        false,
        () => `dead letter of ${letter.topic}`,
      )
      return
    }
    const place = `${letter.partition}:${letter.offset}`
    this.#letters.set(place, [...(this.#letters.get(place) ?? []), letter.reason])
  }

  #takeTransaction(transaction: StoredTransaction, postings: readonly StoredPosting[]): void {
    const { topic, partition, offset, cause, status, id } = transaction
    this.outputs.addDecision(transaction)
    for (const posting of postings) this.outputs.addPosting(posting)
    this.counts[status] = (this.counts[status] ?? 0) + 1
    if (cause === 'review' && topic === REVIEWS) {
      this.#takeReview(transaction, postings)
      return
    }
    const place = `${partition}:${offset}`
    const input = this.#inputs.at(partition, offset)
    const isSent = cause === 'transaction' && topic === TOPIC && input?.id === id
    this.#findings.check(
      'nothing is decided that was not sent',
      isSent,
      () => `${topic}:${place}: ${cause} ${id} ${status}`,
    )
    if (!isSent) return
    this.#decisions.set(place, (this.#decisions.get(place) ?? 0) + 1)
    const claimed = this.#claimed.get(id)
    if (claimed === undefined) {
      this.#claimed.set(id, input.content)
      this.#takeFirst(transaction, input, postings)
    } else this.#takeLater(transaction, input, claimed)
  }

  /** The first record with its id. */
  #takeFirst(transaction: StoredTransaction, input: Input, postings: readonly StoredPosting[]): void {
    const verdict = this.#book.judge(input)
    const { suspicion } = verdict
    if (suspicion !== null) {
      const { action, payer, hits } = suspicion
      this.outputs.addAlert(transaction, { kind: 'rules', action, account: payer, hits })
    }
    this.#checkVerdict(transaction, verdict)
    const moved = this.#checkPostings(transaction, verdict, postings)
    this.#book.settle(input, transaction.status, moved)
    const isReversal = input.kind === 'reverse'
    this.#checkLimits(transaction, isReversal || input.kind === 'capture' ? [] : input.postings)
  }

  /** A reviewer's decision on a held transaction. */
  #takeReview(transaction: StoredTransaction, postings: readonly StoredPosting[]): void {
    const { id, offset } = transaction
    const review = this.#inputs.references.reviews.get(Number(offset))
    const held = this.#book.heldAs(id)
    const name = () => `review ${offset} of ${id}: ${transaction.status}`
    this.#findings.check('nothing is decided that was not sent', review?.transactionId === id, name)
    const place = `${REVIEWS}:${offset}`
    this.#findings.check('no record has two', !this.#decisions.has(place), name)
    this.#decisions.set(place, 1)
    this.#findings.check('every id took effect once at most', held !== undefined, name)
    const verdict = this.#book.judgeReview(id, review?.decision ?? '')
    if (held === undefined || verdict === undefined) return
    this.#checkVerdict(transaction, verdict)
    const moved = this.#checkPostings(transaction, verdict, postings)
    this.#book.settleReview(id, transaction.status, moved)
    this.#checkLimits(transaction, held.postings)
  }

  #checkVerdict(transaction: StoredTransaction, { status: wanted, why }: Verdict): void {
    const { status, reason } = transaction
    const name = `${transaction.id} at ${transaction.topic}:${transaction.partition}:${transaction.offset}`
    const said = reason === null ? status : `${status} (${reason})`
    if (wanted !== 'rejected') {
      this.#findings.check(
        'what can be applied is applied',
        status === wanted,
        () => `${name}: ${said}, must be ${wanted}`,
      )
      return
    }
    const rule =
      why === 'insufficient_funds'
        ? 'no limit is broken by any transaction'
        : 'what is refused is refused rightly'
    const isRight = status === 'rejected' && (why === 'about its parent' || why === reason)
    this.#findings.check(rule, isRight, () => `${name}: ${said}, but ${why}`)
  }

  #checkLimits({ id, status }: StoredTransaction, postings: readonly InputPosting[]): void {
    const broken = LOWERING.has(status) ? this.#book.broken(postings) : []
    this.#findings.check('no limit is broken by any transaction', broken.length === 0, () => {
      const accounts = broken.map((account) => `${account} has ${this.#book.accounts.get(account)?.posted}`)
      return `${id}: ${accounts.join(', ')}`
    })
  }

  /** Compares what was posted with what the record asked for, and folds it. @returns what was posted */
  #checkPostings(
    { id, status }: StoredTransaction,
    verdict: Verdict,
    postings: readonly StoredPosting[],
  ): InputPosting[] {
    const asked = status === 'applied' ? verdict.moves : []
    const describe = (p: { debit: string; credit: string; amount: bigint }) =>
      `${p.debit} ${p.credit} ${p.amount}`
    this.#findings.same(
      'every posting is one that was sent',
      id,
      asked.map(describe).join(', '),
      postings.map(describe).join(', '),
    )
    return postings.map((posting) => {
      const { debit, credit, amount } = posting
      const moved = { debit, credit, amount, currency: '' }
      const after = this.#book.move(moved)
      const name = `${posting.sequence}.${posting.index}.${posting.posting}`
      this.#findings.same(
        'every posting continues the balance before it',
        `${name} ${debit}`,
        after?.debit,
        posting.debitPosted,
      )
      this.#findings.same(
        'every posting continues the balance before it',
        `${name} ${credit}`,
        after?.credit,
        posting.creditPosted,
      )
      return moved
    })
  }

  /** The same id once more: a copy, or other content under it. */
  #takeLater(transaction: StoredTransaction, input: Input, claimed: string): void {
    const { partition, offset, status, reason } = transaction
    const name = `${input.id} at ${partition}:${offset}`
    this.#findings.check(
      'every id took effect once at most',
      !EFFECTS.has(status),
      () => `${name}: ${status}`,
    )
    if (claimed === input.content) {
      this.#findings.same('a copy has no effect', name, 'duplicate', status)
      return
    }
    this.#conflicts.add(`${partition}:${offset}`)
    const account = input.postings[0]?.debit ?? null
    this.outputs.addAlert(transaction, { kind: 'id_conflict', action: 'reject', account, hits: [] })
    const said = `${status} ${reason}`
    this.#findings.same('what is refused is refused rightly', name, 'rejected id_conflict', said)
  }

  /** Accounts and rules that change, and reviews of what isn't held. */
  #change(sequence: bigint, places: readonly DecidedPlace[]): void {
    for (const place of places) {
      const { accounts, rules, reviews } = this.#inputs.references
      const at = Number(place.offset)
      if (place.topic === 'accounts') this.#changeAccount(sequence, place, accounts.get(at))
      else if (place.topic === 'rules') this.#changeRule(sequence, place, rules.get(at))
      else if (place.topic === REVIEWS) this.#refuseReview(sequence, place, reviews.get(at))
    }
  }

  #changeAccount(sequence: bigint, place: DecidedPlace, change: AccountInput | null | undefined): void {
    if (change == null) return
    const { accountId } = change
    const refusal = this.#book.changeAccount(change)
    if (refusal === null) this.#changed.add(accountId)
    else if (refusal !== 'unchanged') {
      const notification = { kind: 'account_refused', subject: accountId, reason: refusal }
      this.outputs.addNotification({ ...place, sequence, ...notification })
    }
  }

  #changeRule(sequence: bigint, place: DecidedPlace, change: RuleInput | null | undefined): void {
    if (change == null) return
    const { ruleId } = change
    const reason = this.#book.changeRule(change, sequence)
    if (reason !== null) {
      this.outputs.addNotification({ ...place, sequence, kind: 'rule_refused', subject: ruleId, reason })
      return
    }
    const state = describeRule(change)
    this.#rules.push(`${ruleId}@${sequence}: ${state}`)
    this.outputs.addState('rules', ruleId, { sequence, state })
  }

  /** A review that is no decision: then nothing was held. */
  #refuseReview(sequence: bigint, place: DecidedPlace, review: ReviewInput | null | undefined): void {
    if (review == null || this.#decisions.has(`${REVIEWS}:${place.offset}`)) return
    const { transactionId: subject } = review
    const isRight = this.#book.heldAs(subject) === undefined
    this.#findings.check('what is refused is refused rightly', isRight, () => `review of ${subject}`)
    const notification = { kind: 'review_refused', subject, reason: 'not_held' }
    this.outputs.addNotification({ ...place, sequence, ...notification })
  }

  #endBatch(sequence: bigint): void {
    for (const id of this.#changed) {
      const account = this.#book.accounts.get(id)!
      this.outputs.addState('accounts', id, { sequence, state: describeAccount(account) })
    }
    this.#changed.clear()
  }

  /** Every record is decided, or a dead letter, once. */
  #checkPlace(place: string, input: Input | null): void {
    const decisions = this.#decisions.get(place) ?? 0
    const letters = this.#letters.get(place) ?? []
    const name = () =>
      `${place} ${input?.id ?? '(unreadable)'}: ${decisions} decisions, ${letters.length} letters`
    this.#findings.check('every record has a decision or a dead letter', decisions + letters.length > 0, name)
    const lettersWanted = input === null || this.#conflicts.has(place) ? 1 : 0
    this.#findings.check('no record has two', decisions <= 1 && letters.length <= lettersWanted, name)
    if (input !== null) return
    const isRight = letters.length === 1 && decisions === 0
    this.#findings.check('what nobody can read is a dead letter', isRight, name)
  }
}

/** The changes of a batch that stand between its decisions. */
class Changes {
  readonly #places: readonly DecidedPlace[]
  readonly #placeOf = new Map<string, number>()
  #at = 0

  constructor(order: BatchOrder | undefined, inputs: InputLog) {
    const isPlain = order === undefined || !order.sources.some(({ topic }) => isReference(topic))
    this.#places = isPlain ? [] : decidedPlaces(order, (...place) => inputs.has(...place))
    for (const [place, of] of this.#places.entries()) this.#placeOf.set(nameOf(of), place)
  }

  /** Those that come before a decision and weren't given yet. */
  before(decision: DecidedPlace): readonly DecidedPlace[] {
    const end = this.#placeOf.get(nameOf(decision)) ?? this.#at
    if (end < this.#at) return []
    const before = this.#places.slice(this.#at, end)
    this.#at = end + (this.#placeOf.has(nameOf(decision)) ? 1 : 0)
    return before
  }

  rest(): readonly DecidedPlace[] {
    return this.#places.slice(this.#at)
  }
}

const nameOf = ({ topic, partition, offset }: DecidedPlace): string => `${topic}:${partition}:${offset}`
