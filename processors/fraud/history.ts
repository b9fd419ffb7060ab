/** Runs a history of labelled payments through the engine's features, in event order; labels are learned when they are due. */
import { decodeAcceptor, encodeAcceptor, newAcceptor } from '#domain/fraud/features/acceptor.ts'
import { DAY_MS, LABEL_DELAY_DAYS } from '#domain/fraud/features/feedback.ts'
import { noteLabelOf, notePaymentOf, observe } from '#domain/fraud/features/observe.ts'
import { decodePayer, encodePayer, newPayer } from '#domain/fraud/features/payer.ts'
import type { FeatureValues } from '#domain/fraud/features/vector.ts'
import { StateShelf } from './state-shelf.ts'

/** One payment of a history. */
export interface HistoricPayment {
  readonly id: string
  /** Event time, ms since 1970. */
  readonly at: number
  readonly account: string
  readonly terminal: string
  /** Minor units. */
  readonly amount: number
  /** null where no label is told. */
  readonly isFraud: boolean | null
}

interface DueLabel {
  readonly at: number
  readonly account: string
  readonly terminal: string
  readonly isFraud: boolean
  readonly wasUnusual: boolean
}

const OBJECTS_MAX = 40_000
/** Longer than any window or label reaches back. */
const KEEP_DAYS = 62

export class FraudHistory {
  readonly #withLabels: boolean
  readonly #accounts = new StateShelf({
    make: newPayer,
    encode: encodePayer,
    decode: decodePayer,
    objectsMax: OBJECTS_MAX,
    keepDays: KEEP_DAYS,
  })
  readonly #terminals = new StateShelf({
    make: newAcceptor,
    encode: encodeAcceptor,
    decode: decodeAcceptor,
    objectsMax: OBJECTS_MAX,
    keepDays: KEEP_DAYS,
  })
  /** By the day of their payment. */
  readonly #due = new Map<number, DueLabel[]>()
  #learnedTo = 0

  constructor(options: { readonly withLabels: boolean }) {
    this.#withLabels = options.withLabels
  }

  /** Labels that are known and may not be used yet. */
  get labelsWaiting(): number {
    let waiting = 0
    for (const labels of this.#due.values()) waiting += labels.length
    return waiting
  }

  /** The features of the next payment as they were when it came; then it is noted. */
  next(payment: HistoricPayment): FeatureValues {
    const { amount, at, account, terminal } = payment
    const day = Math.floor(at / DAY_MS)
    if (this.#withLabels) this.#learnUpTo(day)
    const states = {
      account: this.#accounts.take(account, day),
      terminal: this.#terminals.take(terminal, day),
      card: null,
      device: null,
    }
    const facts = { amount, at, account, counterparty: terminal, country: null }
    const { values, wasUnusual } = observe(facts, states)
    notePaymentOf(facts, states, { values, isDeclined: false })
    if (this.#withLabels && payment.isFraud !== null)
      this.#keepLabel(day, { at, account, terminal, isFraud: payment.isFraud, wasUnusual })
    return values
  }

  #keepLabel(day: number, label: DueLabel): void {
    const labels = this.#due.get(day)
    if (labels === undefined) this.#due.set(day, [label])
    else labels.push(label)
  }

  /** Labels of a day come at 00:00 UTC of the day LABEL_DELAY_DAYS later. */
  #learnUpTo(today: number): void {
    if (today <= this.#learnedTo) return
    this.#learnedTo = today
    for (const [day, labels] of [...this.#due].sort(([a], [b]) => a - b)) {
      if (day + LABEL_DELAY_DAYS > today) continue
      this.#due.delete(day)
      for (const label of labels) {
        const account = this.#accounts.take(label.account, today)
        noteLabelOf({ account, terminal: this.#terminals.take(label.terminal, today) }, label)
      }
    }
  }
}
