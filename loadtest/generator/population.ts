/** Who takes part in a run: accounts by currency, cards, merchants, and the accounts that bad cases need. Names carry the run, so that runs don't touch each other. */
import type { AccountChange, CardChange, RuleChange } from '#domain/transactions/command.ts'
import { Zipf } from './distributions.ts'
import { ACTOR } from './records.ts'

/** A currency of the run. */
export interface MarketDefinition {
  readonly currency: string
  /** Share of the customers. */
  readonly share: number
  /** Minor units of what costs a dollar: keeps amounts plausible in every currency. */
  readonly minorPerDollar: number
  readonly country: string
}

/** Currencies with 0, 2 and 3 decimals. */
export const MARKETS: readonly MarketDefinition[] = [
  { currency: 'USD', share: 0.42, minorPerDollar: 100, country: 'US' },
  { currency: 'EUR', share: 0.28, minorPerDollar: 92, country: 'DE' },
  { currency: 'GBP', share: 0.12, minorPerDollar: 78, country: 'GB' },
  { currency: 'JPY', share: 0.1, minorPerDollar: 150, country: 'JP' },
  { currency: 'CHF', share: 0.05, minorPerDollar: 88, country: 'CH' },
  { currency: 'KWD', share: 0.03, minorPerDollar: 307, country: 'KW' },
]
/** Only velocity bursts use it, so that the velocity rule fires for them alone, however partitions interleave. */
export const BURST_CURRENCY = 'NOK'
export const BURST_MINOR_PER_DOLLAR = 1_080
/** Payments an hour that a burst account may make before the rule holds the next. */
export const BURST_THRESHOLD = 3

/** Dollars above which a payment raises an alert, is held, is rejected. Ordinary amounts stay below the second. */
export const RULE_DOLLARS = { alert: 2_500, hold: 10_000, reject: 100_000 } as const
/** Most limited card of each market, dollars. */
const CARD_LIMIT_DOLLARS = 50

const DAY_MS = 86_400_000
const HOT_ACCOUNTS_EXPONENT = 1.05
const MERCHANTS_EXPONENT = 1.2
/** Accounts a case of each market. */
const SPECIAL_ACCOUNTS = 4

export interface Customer {
  readonly account: string
  /** Card token, if there is one. */
  readonly card: string | null
  readonly device: string
}

export interface Merchant {
  readonly account: string
  readonly merchant: string
  readonly terminals: readonly string[]
}

/** Everything of one currency. */
export interface Market extends MarketDefinition {
  readonly customers: readonly Customer[]
  readonly customerRank: Zipf
  readonly merchants: readonly Merchant[]
  readonly merchantRank: Zipf
  readonly external: string
  readonly fee: string
  readonly position: string
  /** Open, without money, and nobody pays them: every payment of theirs is an overdraft. */
  readonly empty: readonly string[]
  readonly frozen: readonly string[]
  readonly closed: readonly string[]
  /** Tokens with their owner. */
  readonly blockedCard: CardOwner
  readonly expiredCard: CardOwner
  readonly limitedCard: CardOwner
}

export interface CardOwner {
  readonly card: string
  readonly account: string
}

const padded = (number: number): string => String(number).padStart(6, '0')
const list = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index))

/** The markets of a run with about `accounts` customers. */
export function makeMarkets(run: string, accounts: number): Market[] {
  let first = 0
  return MARKETS.map((definition) => {
    const count = Math.max(4, Math.round(accounts * definition.share))
    const start = first
    first += count
    return makeMarket(run, definition, start, count)
  })
}

function makeMarket(run: string, definition: MarketDefinition, start: number, count: number): Market {
  const { currency } = definition
  const merchantCount = Math.max(4, Math.round(count / 25))
  const customers = list(count, (index) => {
    const number = padded(start + index)
    return {
      account: `cust:${run}-${number}`,
      // Every second customer pays by card.
      card: index % 2 === 0 ? `tok_${run}_${number}` : null,
      device: `dev_${run}_${number}`,
    }
  })
  const special = (kind: string) => list(SPECIAL_ACCOUNTS, (index) => `${kind}:${run}-${currency}-${index}`)
  const cardOf = (kind: string, owner: number): CardOwner => ({
    card: `tok_${run}_${kind}_${currency}`,
    account: customers[owner]!.account,
  })
  return {
    ...definition,
    customers,
    customerRank: new Zipf(count, HOT_ACCOUNTS_EXPONENT),
    merchants: list(merchantCount, (index) => makeMerchant(run, currency, index)),
    merchantRank: new Zipf(merchantCount, MERCHANTS_EXPONENT),
    external: `external:${run}-${currency}`,
    fee: `fee:${run}-${currency}`,
    position: `position:${run}-${currency}`,
    empty: special('empty'),
    frozen: special('frozen'),
    closed: special('closed'),
    blockedCard: cardOf('blocked', 0),
    expiredCard: cardOf('expired', 1),
    limitedCard: cardOf('limited', 2),
  }
}

function makeMerchant(run: string, currency: string, index: number): Merchant {
  const name = `${run}-${currency}-${index}`
  return {
    account: `merchant:${name}`,
    merchant: `shop_${name}`,
    terminals: list(1 + (index % 4), (place) => `term_${name}_${place}`),
  }
}

/** Name of the account of a velocity burst. */
export const burstAccount = (run: string, burst: number): string => `burst:${run}-${padded(burst)}`
export const burstPayee = (run: string): string => `merchant:${run}-${BURST_CURRENCY}`
export const burstExternal = (run: string): string => `external:${run}-${BURST_CURRENCY}`

type Opening = Pick<AccountChange, 'accountClass' | 'normalSide' | 'limited' | 'overdraftLimit'>
const CUSTOMER: Opening = {
  accountClass: 'customer',
  normalSide: 'credit',
  limited: true,
  overdraftLimit: 0n,
}
const UNLIMITED = { limited: false, overdraftLimit: 0n }

/** The records that open (and then freeze or close) all accounts, in this order. */
export function accountRecords(
  run: string,
  markets: readonly Market[],
  bursts: number,
  occurredAt: number,
): AccountChange[] {
  const records: AccountChange[] = []
  const change = (
    action: AccountChange['action'],
    accountId: string,
    currency: string,
    opening = CUSTOMER,
  ) => {
    const reference = { accountId, currency, ...opening, reversalMayOverdraw: false }
    records.push({ action, ...reference, actor: ACTOR, occurredAt })
  }
  for (const market of markets) {
    const { currency } = market
    const external: Opening = { accountClass: 'external', normalSide: 'debit', ...UNLIMITED }
    change('open', market.external, currency, external)
    change('open', market.fee, currency, { accountClass: 'fee', normalSide: 'credit', ...UNLIMITED })
    change('open', market.position, currency, {
      accountClass: 'position',
      normalSide: 'credit',
      ...UNLIMITED,
    })
    for (const { account } of market.customers) change('open', account, currency)
    for (const { account } of market.merchants) change('open', account, currency)
    for (const account of [...market.empty, ...market.frozen, ...market.closed]) {
      change('open', account, currency)
    }
    for (const account of market.frozen) change('freeze', account, currency)
    for (const account of market.closed) change('close', account, currency)
  }
  const external: Opening = { accountClass: 'external', normalSide: 'debit', ...UNLIMITED }
  change('open', burstExternal(run), BURST_CURRENCY, external)
  change('open', burstPayee(run), BURST_CURRENCY)
  for (let burst = 0; burst < bursts; burst += 1) change('open', burstAccount(run, burst), BURST_CURRENCY)
  return records
}

/** The records that issue (and then block) all cards, in this order. */
export function cardRecords(markets: readonly Market[], occurredAt: number): CardChange[] {
  const records: CardChange[] = []
  const issue = (owner: CardOwner, options: Partial<CardChange> = {}) => {
    records.push({
      action: 'issue',
      card: owner.card,
      accountId: owner.account,
      expiresAt: null,
      transactionLimit: null,
      dailyLimit: null,
      actor: ACTOR,
      occurredAt,
      ...options,
    })
  }
  for (const market of markets) {
    for (const { card, account } of market.customers) if (card !== null) issue({ card, account })
    issue(market.blockedCard)
    issue(market.blockedCard, { action: 'block' })
    issue(market.expiredCard, { expiresAt: occurredAt - DAY_MS })
    issue(market.limitedCard, { transactionLimit: BigInt(CARD_LIMIT_DOLLARS * market.minorPerDollar) })
  }
  return records
}

/** A limited card's limit, minor units. */
export const limitedCardLimit = (market: Market): bigint => BigInt(CARD_LIMIT_DOLLARS * market.minorPerDollar)

/** The fraud rules that the expected outcomes count on. The same for every run. */
export function ruleRecords(occurredAt: number): RuleChange[] {
  const rules: RuleChange[] = []
  for (const { currency, minorPerDollar } of MARKETS) {
    for (const action of ['alert', 'hold', 'reject'] as const) {
      rules.push({
        ruleId: `generator-amount-${action}-${currency}`,
        type: 'amount_limit',
        currency,
        threshold: BigInt(RULE_DOLLARS[action] * minorPerDollar),
        windowMs: 0,
        action,
        enabled: true,
        actor: ACTOR,
        occurredAt,
      })
    }
  }
  rules.push({
    ruleId: `generator-velocity-${BURST_CURRENCY}`,
    type: 'velocity_count',
    currency: BURST_CURRENCY,
    threshold: BigInt(BURST_THRESHOLD),
    windowMs: 3_600_000,
    action: 'hold',
    enabled: true,
    actor: ACTOR,
    occurredAt,
  })
  return rules
}
