/**
 * The features: named whole numbers that say how a payment looks against what is known, this payment included in counts and sums.
 * Rules and the model name them; docs/fraud.md explains each. Their order is that of FEATURES; a model file names what it uses.
 */
import { type AcceptorState, REFUSED, TAKEN } from './acceptor.ts'
import { acquaintanceCount, isKnown } from './acquaintances.ts'
import { type DeviceState, FAILED, MADE } from './device.ts'
import { DAY_MS, evidenceAt } from './feedback.ts'
import { deviationPercent, PERCENT_MAX, percentOfUsual, usualAmount } from './habit.ts'
import { COUNT, DECLINED, isUnusual, NEW_COUNTERPARTIES, type PayerState, RECEIVED } from './payer.ts'
import { SUM, UNUSUAL } from './payer.ts'
import { total } from './window.ts'

export const FEATURES = [
  'amount',
  'account_count_1h',
  'account_sum_1h',
  'account_count_1d',
  'account_sum_1d',
  'account_count_7d',
  'account_sum_7d',
  'account_count_30d',
  'account_sum_30d',
  'account_declined_1d',
  'account_declined_percent_7d',
  'account_history',
  'account_usual_amount',
  'account_amount_percent',
  'account_deviation_percent',
  'account_mean_7d_percent',
  'account_unusual_14d',
  'account_unusual_percent_14d',
  'account_unusual_days',
  'account_days_since_last',
  'account_minutes_since_last',
  'account_days_known',
  'account_received_1d',
  'account_out_in_percent_1d',
  'counterparty_is_new',
  'account_counterparties_60d',
  'account_new_counterparties_1d',
  'account_frauds_28d',
  'country_changed_minutes',
  'card_count_1h',
  'card_sum_1h',
  'card_count_1d',
  'card_sum_1d',
  'card_declined_1d',
  'terminal_count_1d',
  'terminal_count_7d',
  'terminal_count_30d',
  'terminal_refused_percent_7d',
  'terminal_amount_percent',
  'terminal_labelled_28d',
  'terminal_frauds_28d',
  'terminal_unusual_frauds_28d',
  'terminal_risk_permille',
  'terminal_run_frauds',
  'terminal_run_days',
  'terminal_genuine_since',
  'terminal_first_fraud_days',
  'device_count_1d',
  'device_failed_1d',
  'device_accounts_60d',
  'hour_of_day',
  'is_night',
  'is_weekend',
] as const
export type FeatureName = (typeof FEATURES)[number]

/** What a payment is looked at with. */
export interface FeatureInput {
  /** Minor units. */
  readonly amount: number
  /** Event time, ms since 1970. */
  readonly at: number
  /** nameHash of who is paid; null where it isn't told. */
  readonly counterparty: number | null
  /** countryNumber; 0 = not told. */
  readonly country: number
  /** States before this payment; null where the record names none. */
  readonly account: PayerState
  readonly card: PayerState | null
  readonly terminal: AcceptorState | null
  readonly device: DeviceState | null
}

/** By the names of FEATURES. */
export type FeatureValues = Record<FeatureName, number>

const MINUTE_MS = 60_000
const SUM_MAX = 70_368_744_177_664
const NEVER_MINUTES = 1_000_000
const NEVER_DAYS = 10_000

const NONE = Object.fromEntries(FEATURES.map((name) => [name, 0])) as FeatureValues

/** All features of a payment: whole numbers from 0 to 2^53 − 1, without changing what is known. */
export const featuresOf = (input: FeatureInput): FeatureValues => {
  // With its shape from the start: made name by name an object of fifty is slow to make and to read.
  const values = { ...NONE }
  values.amount = input.amount
  accountActivity(values, input)
  accountHabits(values, input)
  accountHistory(values, input)
  cardFeatures(values, input)
  terminalFeatures(values, input)
  deviceFeatures(values, input)
  timeFeatures(values, input.at)
  return values
}

const accountActivity = (values: FeatureValues, { account, amount, at }: FeatureInput): void => {
  values.account_count_1h = total(account.hour, at, COUNT, 12) + 1
  values.account_sum_1h = sumWith(total(account.hour, at, SUM, 12), amount)
  values.account_count_1d = total(account.day, at, COUNT, 24) + 1
  values.account_sum_1d = sumWith(total(account.day, at, SUM, 24), amount)
  values.account_count_7d = total(account.month, at, COUNT, 7) + 1
  values.account_sum_7d = sumWith(total(account.month, at, SUM, 7), amount)
  values.account_count_30d = total(account.month, at, COUNT, 30) + 1
  values.account_sum_30d = sumWith(total(account.month, at, SUM, 30), amount)
  values.account_declined_1d = total(account.day, at, DECLINED, 24)
  values.account_declined_percent_7d = Math.floor(
    (total(account.month, at, DECLINED, 7) * 100) / values.account_count_7d,
  )
  values.account_received_1d = total(account.day, at, RECEIVED, 24)
  values.account_out_in_percent_1d =
    values.account_received_1d === 0 ? 0 : percentOf(values.account_sum_1d, values.account_received_1d)
}

const accountHabits = (values: FeatureValues, { account, amount, at }: FeatureInput): void => {
  const unusualBefore = total(account.month, at, UNUSUAL, 14)
  const unusual = unusualBefore + (isUnusual(account, amount) ? 1 : 0)
  values.account_history = account.habit.count
  values.account_usual_amount = usualAmount(account.habit)
  values.account_amount_percent = percentOfUsual(account.habit, amount)
  values.account_deviation_percent = deviationPercent(account.habit, amount)
  values.account_mean_7d_percent = percentOfUsual(
    account.habit,
    Math.floor(values.account_sum_7d / values.account_count_7d),
  )
  values.account_unusual_14d = unusual
  values.account_unusual_percent_14d = Math.floor((unusual * 100) / (total(account.month, at, COUNT, 14) + 1))
  values.account_unusual_days = unusualBefore === 0 ? 0 : daysSinceFirstUnusual(account, at)
}

/** Days from the first unusual payment of the last 21 days to now. */
const daysSinceFirstUnusual = (account: PayerState, at: number): number => {
  const all = total(account.month, at, UNUSUAL, 21)
  for (let back = 1; back <= 21; back++) if (total(account.month, at, UNUSUAL, back) === all) return back
  return 0
}

const accountHistory = (values: FeatureValues, input: FeatureInput): void => {
  const { account, at, counterparty, country } = input
  const minutes = account.lastAt < 0 ? NEVER_MINUTES : minutesBetween(account.lastAt, at)
  values.account_minutes_since_last = minutes
  values.account_days_since_last = account.lastAt < 0 ? NEVER_DAYS : Math.floor(minutes / 1_440)
  values.account_days_known =
    account.firstAt < 0 ? 0 : Math.floor(minutesBetween(account.firstAt, at) / 1_440)
  const isNew = counterparty !== null && !isKnown(account.met, at, counterparty)
  values.counterparty_is_new = isNew ? 1 : 0
  values.account_counterparties_60d = acquaintanceCount(account.met, at)
  values.account_new_counterparties_1d = total(account.month, at, NEW_COUNTERPARTIES, 1) + (isNew ? 1 : 0)
  const evidence = evidenceAt(account.feedback, at)
  values.account_frauds_28d = evidence.ordinaryFrauds + evidence.unusualFrauds
  const payer = input.card ?? account
  const changed = country !== 0 && payer.country !== 0 && country !== payer.country
  values.country_changed_minutes = changed ? minutesBetween(payer.lastAt, at) : NEVER_MINUTES
}

const cardFeatures = (values: FeatureValues, { card, amount, at }: FeatureInput): void => {
  values.card_count_1h = card === null ? 0 : total(card.hour, at, COUNT, 12) + 1
  values.card_sum_1h = card === null ? 0 : sumWith(total(card.hour, at, SUM, 12), amount)
  values.card_count_1d = card === null ? 0 : total(card.day, at, COUNT, 24) + 1
  values.card_sum_1d = card === null ? 0 : sumWith(total(card.day, at, SUM, 24), amount)
  values.card_declined_1d = card === null ? 0 : total(card.day, at, DECLINED, 24)
}

const terminalFeatures = (values: FeatureValues, { terminal, amount, at }: FeatureInput): void => {
  const count = terminal === null ? 0 : 1
  values.terminal_count_1d = terminal === null ? 0 : total(terminal.day, at, TAKEN, 24) + count
  values.terminal_count_7d = terminal === null ? 0 : total(terminal.month, at, TAKEN, 7) + count
  values.terminal_count_30d = terminal === null ? 0 : total(terminal.month, at, TAKEN, 30) + count
  const refused = terminal === null ? 0 : total(terminal.month, at, REFUSED, 7)
  values.terminal_refused_percent_7d = shareOf(refused, values.terminal_count_7d)
  values.terminal_amount_percent = terminal === null ? 100 : percentOfUsual(terminal.habit, amount)
  const evidence = terminal === null ? null : evidenceAt(terminal.feedback, at)
  values.terminal_labelled_28d = evidence?.labelled ?? 0
  values.terminal_frauds_28d = evidence?.ordinaryFrauds ?? 0
  values.terminal_unusual_frauds_28d = evidence?.unusualFrauds ?? 0
  // Shrunk towards nothing by ten payments, so that one fraud among two doesn't read as half.
  values.terminal_risk_permille = Math.floor(
    (values.terminal_frauds_28d * 1_000) / (values.terminal_labelled_28d + 10),
  )
  values.terminal_run_frauds = evidence?.runFrauds ?? 0
  values.terminal_run_days = evidence?.runDays ?? 0
  values.terminal_genuine_since = evidence?.genuineSince ?? 0
  values.terminal_first_fraud_days = evidence?.firstFraudDays ?? 0
}

const deviceFeatures = (values: FeatureValues, { device, at }: FeatureInput): void => {
  values.device_count_1d = device === null ? 0 : total(device.day, at, MADE, 24) + 1
  values.device_failed_1d = device === null ? 0 : total(device.day, at, FAILED, 24)
  values.device_accounts_60d = device === null ? 0 : acquaintanceCount(device.met, at)
}

/** 1970-01-01 was a Thursday: days 2 and 3 from there, and every seventh on, are a weekend. */
const timeFeatures = (values: FeatureValues, at: number): void => {
  const hour = Math.floor(Math.max(0, at) / 3_600_000) % 24
  const weekday = Math.floor(Math.max(0, at) / DAY_MS) % 7
  values.hour_of_day = hour
  values.is_night = hour < 6 ? 1 : 0
  values.is_weekend = weekday === 2 || weekday === 3 ? 1 : 0
}

const minutesBetween = (from: number, to: number): number =>
  Math.min(NEVER_MINUTES, Math.max(0, Math.floor((to - from) / MINUTE_MS)))
const sumWith = (sum: number, amount: number): number => Math.min(Number.MAX_SAFE_INTEGER, sum + amount)
const shareOf = (part: number, rest: number): number =>
  part === 0 ? 0 : Math.floor((part * 100) / (part + rest))

/** At most PERCENT_MAX. Sums are cut at 2^46, so that a hundredfold stays exact. */
const percentOf = (part: number, whole: number): number =>
  Math.min(PERCENT_MAX, Math.floor((Math.min(part, SUM_MAX) * 100) / Math.min(whole, SUM_MAX)))
