/** Is Postgres what must have become of the topic? Nothing lost, nothing twice, money kept, limits kept at every step. */
import type { Findings } from '../findings.ts'
import { Book } from './book.ts'
import { ExpectedOutputs } from './expected-outputs.ts'
import type { Input, InputLog } from './input-log.ts'
import type {
  HistoryPart,
  StoredAccount,
  StoredDeadLetter,
  StoredPosting,
  StoredTransaction,
} from './stored-ledger.ts'

const TOPIC = 'transactions'
const EFFECTS: ReadonlySet<string> = new Set(['applied', 'authorized', 'voided'])
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

  constructor(
    findings: Findings,
    options: {
      inputs: InputLog
      accounts: readonly { id: string; limited: boolean; overdraftLimit: bigint }[]
    },
  ) {
    this.#findings = findings
    this.#inputs = options.inputs
    this.#book = new Book(options.accounts)
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
    for (const transaction of part.transactions) {
      const name = `${transaction.sequence}.${transaction.index}`
      this.#takeTransaction(transaction, postings.get(name) ?? [])
      postings.delete(name)
    }
    for (const name of postings.keys()) {
      this.#findings.check('every posting is one that was sent', false, () => `${name}: no such transaction`)
    }
  }

  /** After the whole history. @returns by currency what all balances sum to, minor units: zero where money was kept */
  finish(accounts: readonly StoredAccount[]): Record<string, bigint> {
    for (const { partition, offset, input } of this.#inputs.places()) {
      this.#checkPlace(`${partition}:${offset}`, input)
    }
    const sums: Record<string, bigint> = Object.fromEntries(
      Object.values(CURRENCY_CODES).map((code) => [code, 0n]),
    )
    for (const { id, currency, posted, reserved } of accounts) {
      const account = this.#book.accounts.get(id)
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
    const { partition, offset, cause, status, id } = transaction
    this.outputs.addDecision(transaction)
    for (const posting of postings) this.outputs.addPosting(posting)
    this.counts[status] = (this.counts[status] ?? 0) + 1
    const place = `${partition}:${offset}`
    const input = this.#inputs.at(partition, offset)
    const isSent = cause === 'transaction' && input?.id === id
    this.#findings.check(
      'nothing is decided that was not sent',
      isSent,
      () => `${place}: ${cause} ${id} ${status}`,
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
    const { status, reason } = transaction
    const name = `${input.id} at ${transaction.partition}:${transaction.offset}`
    const said = reason === null ? status : `${status} (${reason})`
    const verdict = this.#book.judge(input)
    if (EFFECTS.has(verdict)) {
      this.#findings.check(
        'what can be applied is applied',
        status === verdict,
        () => `${name}: ${said}, must be ${verdict}`,
      )
    } else {
      const rule =
        verdict === 'over the limit'
          ? 'no limit is broken by any transaction'
          : 'what is refused is refused rightly'
      this.#findings.check(rule, status === 'rejected', () => `${name}: ${said}, but ${verdict}`)
    }
    this.#checkPostings(input, status, postings)
    this.#book.settle(input, status)
    const moved = this.#book.postingsOf(input)
    const broken = EFFECTS.has(status) && input.kind !== 'capture' ? this.#book.broken(moved) : []
    this.#findings.check('no limit is broken by any transaction', broken.length === 0, () => {
      const accounts = broken.map((id) => `${id} has ${this.#book.accounts.get(id)?.posted}`)
      return `${name}: ${accounts.join(', ')}`
    })
  }

  /** Compares what was posted with what the record asked for, and folds it. */
  #checkPostings(input: Input, status: string, postings: readonly StoredPosting[]): void {
    const asked = status === 'applied' ? this.#book.postingsOf(input) : []
    const describe = (p: { debit: string; credit: string; amount: bigint }) =>
      `${p.debit} ${p.credit} ${p.amount}`
    this.#findings.same(
      'every posting is one that was sent',
      input.id,
      asked.map(describe).join(', '),
      postings.map(describe).join(', '),
    )
    for (const posting of postings) {
      const after = this.#book.move({ ...posting, currency: '' })
      const name = `${posting.sequence}.${posting.index}.${posting.posting}`
      this.#findings.same(
        'every posting continues the balance before it',
        `${name} ${posting.debit}`,
        after?.debit,
        posting.debitPosted,
      )
      this.#findings.same(
        'every posting continues the balance before it',
        `${name} ${posting.credit}`,
        after?.credit,
        posting.creditPosted,
      )
    }
  }

  /** The same id once more: a copy, or other content under it. */
  #takeLater({ partition, offset, status, reason }: StoredTransaction, input: Input, claimed: string): void {
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
    const said = `${status} ${reason}`
    this.#findings.same('what is refused is refused rightly', name, 'rejected id_conflict', said)
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
