/**
 * What another rulebook would have done: decided payments in ledger order, looked at once more with the features that the engine had,
 * and compared with what was decided. The payments themselves stay as they were: a rejected one would have changed what came after it
 * only by its counts.
 */
import { assessByRulebook, type Assessment } from '#domain/fraud/assess.ts'
import { DAY_MS } from '#domain/fraud/features/feedback.ts'
import { noteLabelOf, notePaymentOf, observe, type PaymentFacts } from '#domain/fraud/features/observe.ts'
import { noteReceipt } from '#domain/fraud/features/payer.ts'
import {
  encodeParty,
  isPartyForgotten,
  newParty,
  type PartyName,
  partyKey,
  partyNameOf,
  type PartyState,
} from '#domain/fraud/parties.ts'
import {
  type AccountProfile,
  decodeProfile,
  encodeProfile,
  newProfile,
  payerOf,
} from '#domain/fraud/profile.ts'
import type { Rulebook } from '#domain/fraud/rulebook/definition.ts'
import type { RuledPayment } from '#domain/fraud/rulebook/evaluate.ts'
import { type Watch, watchOfBook } from '#domain/fraud/rulebook/watch.ts'
import { statesOf } from '#domain/ledger/fraud.ts'
import { acceptorOf, LABEL_REACH_DAYS } from '#domain/ledger/labels.ts'
import type { LabelledPayment } from '#domain/ledger/state.ts'
import { StateShelf } from './state-shelf.ts'

export type TakenAction = Assessment['action']

/** A payment that the engine looked at. */
export interface DecidedPayment {
  /** Its key. */
  readonly name: string
  /** Source and id. */
  readonly shown: string
  readonly facts: PaymentFacts
  readonly currency: string
  readonly kind: string
  readonly subjects: RuledPayment['subjects']
  /** Those that the candidate looks at. */
  readonly parties: readonly PartyName[]
  /** The ledger's time when it was decided, ms since 1970. */
  readonly recordedAtMs: number
  readonly isDeclined: boolean
  /** What was found then. */
  readonly hits: readonly { readonly ruleId: string; readonly action: string }[]
  /** null where nobody knows yet. */
  readonly isFraud: boolean | null
  /** Whether it counts; earlier ones only fill the features. */
  readonly isCounted: boolean
}

/** What one of the two did. */
export interface Deeds {
  readonly alerts: number
  readonly holds: number
  readonly rejects: number
  /** Of holds and rejects, minor units by currency. */
  readonly stoppedMinor: Readonly<Record<string, bigint>>
  /** Of the labelled payments: frauds with any action, frauds without, genuine ones with an action. */
  readonly caught: number
  readonly missed: number
  readonly falsePositives: number
}

export interface BacktestResult {
  readonly payments: number
  readonly labelled: number
  readonly decided: Deeds
  readonly candidate: Deeds
  /** Payments with another action. */
  readonly changed: number
  /** By rule: how often it fired, shadows too. */
  readonly rules: readonly { readonly ruleId: string; readonly decided: number; readonly candidate: number }[]
  /** The first that changed. */
  readonly examples: readonly {
    readonly payment: string
    readonly decided: TakenAction
    readonly candidate: TakenAction
    readonly words: readonly string[]
  }[]
}

type Counting<Type> = { -readonly [Key in keyof Type]: Type[Key] }
interface Deed {
  readonly decided: TakenAction
  readonly candidate: TakenAction
}

const OBJECTS_MAX = 100_000
const KEEP_DAYS = 3_650
const EXAMPLES_MAX = 20
const STRENGTH: Readonly<Record<string, number>> = { none: 0, shadow: 0, alert: 1, hold: 2, reject: 3 }
const ACTIONS: readonly TakenAction[] = ['none', 'alert', 'hold', 'reject']

const dayOf = (atMs: number): number => Math.floor(atMs / DAY_MS)
const strongest = (actions: readonly string[]): TakenAction =>
  ACTIONS[actions.reduce((most, action) => Math.max(most, STRENGTH[action] ?? 0), 0)]!
const newDeeds = (): Counting<Deeds> & { stoppedMinor: Record<string, bigint> } => ({
  alerts: 0,
  holds: 0,
  rejects: 0,
  stoppedMinor: {},
  caught: 0,
  missed: 0,
  falsePositives: 0,
})

export class Backtest {
  readonly #candidate: Rulebook
  /** Rules that stay in force beside the rulebook, whichever it is. */
  readonly #isSingle: (ruleId: string) => boolean
  readonly #profiles = new StateShelf<AccountProfile>({
    make: newProfile,
    encode: encodeProfile,
    decode: (bytes) => decodeProfile(Buffer.from(bytes)),
    objectsMax: OBJECTS_MAX,
    keepDays: KEEP_DAYS,
  })
  readonly #parties = new Map<string, PartyState>()
  /** Payments that labels may come for, by name. */
  readonly #labelled = new Map<string, Omit<LabelledPayment, 'payerNo'> & { readonly recordedAtMs: number }>()
  readonly #watch: Watch
  readonly #decided = newDeeds()
  readonly #tried = newDeeds()
  readonly #rules = new Map<string, { decided: number; candidate: number }>()
  readonly #examples: BacktestResult['examples'][number][] = []
  /** Held ones that nobody has labelled yet, until a review does. */
  readonly #unlabelled = new Map<string, Deed>()
  #payments = 0
  #labels = 0
  #changed = 0

  constructor(candidate: Rulebook, isSingle: (ruleId: string) => boolean) {
    this.#candidate = candidate
    this.#watch = watchOfBook(candidate)
    this.#isSingle = isSingle
  }

  /** The next payment in ledger order. */
  add(payment: DecidedPayment): void {
    const { facts, hits, isDeclined } = payment
    const profile = this.#profiles.take(facts.account, dayOf(facts.at))
    const parties = payment.parties.map((name) => this.#partyOf(name, payment.recordedAtMs))
    const states = statesOf(payerOf(profile), parties)
    const { values, wasUnusual } = observe(facts, states)
    const found = assessByRulebook(this.#candidate, { ...payment, values })
    // As domain/ledger/fraud.ts notes it.
    notePaymentOf(facts, states, { values, isDeclined })
    encodeProfile(profile)
    for (const party of parties) {
      party.usedDay = dayOf(payment.recordedAtMs)
      encodeParty(party)
    }
    if (this.#watch.labels) this.#keep(payment, parties, wasUnusual)
    if (!payment.isCounted) return
    this.#payments += 1
    const deed: Deed = {
      decided: strongest(hits.map(({ action }) => action)),
      candidate: strongest([
        found.action,
        ...hits.filter(({ ruleId }) => this.#isSingle(ruleId)).map(({ action }) => action),
      ]),
    }
    count(this.#decided, deed.decided, payment)
    count(this.#tried, deed.candidate, payment)
    for (const { ruleId } of hits) if (!this.#isSingle(ruleId)) this.#ruleOf(ruleId).decided += 1
    for (const { ruleId } of found.hits) this.#ruleOf(ruleId).candidate += 1
    if (payment.isFraud !== null) this.#label(deed, payment.isFraud)
    else if (deed.decided === 'hold') this.#unlabelled.set(payment.name, deed)
    if (deed.decided === deed.candidate) return
    this.#changed += 1
    if (this.#examples.length < EXAMPLES_MAX)
      this.#examples.push({ payment: payment.shown, ...deed, words: found.hits.map(({ words }) => words) })
  }

  /** Money that an account received. @param amount minor units @param atMs ms since 1970 */
  receive(account: string, amount: number, atMs: number): void {
    const profile = this.#profiles.take(account, dayOf(atMs))
    noteReceipt(payerOf(profile), amount, atMs)
    encodeProfile(profile)
  }

  /** What a label says, as domain/ledger/labels.ts notes it. @param nowMs the ledger's time, ms since 1970 */
  learn(name: string, isFraud: boolean, nowMs: number): void {
    const payment = this.#labelled.get(name)
    if (payment === undefined) return
    this.#labelled.delete(name)
    const { at, wasUnusual, payer, acceptor, recordedAtMs } = payment
    if (dayOf(recordedAtMs) < dayOf(nowMs) - LABEL_REACH_DAYS) return
    const profile = this.#profiles.take(payer, dayOf(nowMs))
    const party = acceptor === null ? null : this.#partyOf(partyNameOf(acceptor), nowMs)
    const terminal = party === null ? null : statesOf(payerOf(profile), [party]).terminal
    noteLabelOf({ account: payerOf(profile), terminal }, { at, isFraud, wasUnusual })
    encodeProfile(profile)
    if (party === null) return
    party.usedDay = dayOf(nowMs)
    encodeParty(party)
  }

  #keep(
    { name, facts, recordedAtMs }: DecidedPayment,
    parties: readonly PartyState[],
    wasUnusual: boolean,
  ): void {
    const acceptor = acceptorOf(parties)
    this.#labelled.set(name, { payer: facts.account, acceptor, at: facts.at, wasUnusual, recordedAtMs })
    // In ledger order, so that what labels don't reach any more stands in front.
    for (const [first, payment] of this.#labelled) {
      if (dayOf(payment.recordedAtMs) >= dayOf(recordedAtMs) - LABEL_REACH_DAYS) break
      this.#labelled.delete(first)
    }
  }

  /** A review of a held payment says what it was: declined = a fraud. */
  review(name: string, isFraud: boolean): void {
    const deed = this.#unlabelled.get(name)
    if (deed === undefined) return
    this.#unlabelled.delete(name)
    this.#label(deed, isFraud)
  }

  result(): BacktestResult {
    return {
      payments: this.#payments,
      labelled: this.#labels,
      decided: this.#decided,
      candidate: this.#tried,
      changed: this.#changed,
      rules: [...this.#rules]
        .map(([ruleId, counts]) => ({ ruleId, ...counts }))
        .sort((a, b) => (a.ruleId < b.ruleId ? -1 : 1)),
      examples: this.#examples,
    }
  }

  #partyOf(name: PartyName, nowMs: number): PartyState {
    const key = partyKey(name.kind, name.name)
    const known = this.#parties.get(key)
    if (known !== undefined && !isPartyForgotten(known, nowMs)) return known
    const made = newParty(name)
    this.#parties.set(key, made)
    return made
  }

  #ruleOf(ruleId: string): { decided: number; candidate: number } {
    const counts = this.#rules.get(ruleId) ?? { decided: 0, candidate: 0 }
    this.#rules.set(ruleId, counts)
    return counts
  }

  #label(deed: Deed, isFraud: boolean): void {
    this.#labels += 1
    for (const [deeds, action] of [
      [this.#decided, deed.decided],
      [this.#tried, deed.candidate],
    ] as const) {
      if (isFraud && action !== 'none') deeds.caught += 1
      else if (isFraud) deeds.missed += 1
      else if (action !== 'none') deeds.falsePositives += 1
    }
  }
}

const count = (
  deeds: ReturnType<typeof newDeeds>,
  action: TakenAction,
  { facts, currency }: DecidedPayment,
): void => {
  if (action === 'alert') deeds.alerts += 1
  if (action === 'hold') deeds.holds += 1
  if (action === 'reject') deeds.rejects += 1
  if (action === 'hold' || action === 'reject')
    deeds.stoppedMinor[currency] = (deeds.stoppedMinor[currency] ?? 0n) + BigInt(facts.amount)
}
