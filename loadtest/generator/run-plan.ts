/** A whole run, planned before anything is published: who is opened and funded, what follows, and what must come of it. */
import type { AccountChange, Posting, TransactionCommand } from '#domain/transactions/command.ts'
import { ConfigurationError } from '#platform/errors.ts'
import { logNormal } from './distributions.ts'
import { type Expectation, ExpectationBuilder, FUNDING } from './expectation.ts'
import { fundingCommands } from './funding.ts'
import { generateMix, sourceOf } from './generator.ts'
import { LedgerModel } from './model.ts'
import { planPlain } from './plain.ts'
import {
  accountRecords,
  BURST_CURRENCY,
  BURST_MINOR_PER_DOLLAR,
  burstExternal,
  cardRecords,
  MARKETS,
  ruleRecords,
} from './population.ts'
import { Random } from './random.ts'
import type { RunOptions, RunPlan } from './run.ts'

/** What customers have beyond what they spend, in units that cost a dollar. */
const SAVINGS_DOLLARS = { median: 1_800, sigma: 1.2 }

/**
 * Plans a run: the stream is generated once to learn what every payer needs and how many bursts there are, then decided by
 * the model for the expectation.
 * @throws ConfigurationError for numbers out of range
 */
export function planRun(options: RunOptions): RunPlan {
  checkOptions(options)
  return options.mix === 'default' ? planDefault(options) : planPlain(options)
}

function checkOptions({ run, transactions, accounts, seed }: RunOptions): void {
  if (!/^[a-z][a-z0-9]{0,20}$/.test(run)) {
    throw new ConfigurationError(`run: expected a letter and up to 20 of a-z and 0-9, found "${run}"`)
  }
  const check = (name: string, value: number, min: number, max: number) => {
    if (Number.isSafeInteger(value) && value >= min && value <= max) return
    throw new ConfigurationError(`${name}: expected a whole number from ${min} to ${max}, found ${value}`)
  }
  check('transactions', transactions, 1, 100_000_000)
  check('accounts', accounts, 2, 10_000_000)
  check('seed', seed, 0, Number.MAX_SAFE_INTEGER)
}

function planDefault(options: RunOptions): RunPlan {
  const { run, endTimeMs, transactions } = options
  const first = generateMix(options)
  let taken = 0
  for (const _record of first.records) taken += 1
  if (taken !== transactions) throw new Error(`${taken} records generated, expected ${transactions}`)
  const occurredAt = endTimeMs
  const accounts = accountRecords(run, first.markets, first.workshop.bursts, occurredAt)
  const cards = cardRecords(first.markets, occurredAt)
  const rules = ruleRecords(occurredAt)
  const funding = fundingOf(options, accounts, first.workshop.outgoing)
  const expectation = expect(options, { accounts, cards, rules, funding })
  return {
    run,
    source: sourceOf(run),
    transactions,
    accounts,
    cards,
    funding,
    rules,
    records: () => generateMix(options).records,
    expectation,
  }
}

/** Transactions that pay every payer what it needs, from the external account of its currency. */
function fundingOf(
  options: RunOptions,
  accounts: readonly AccountChange[],
  outgoing: ReadonlyMap<string, bigint>,
): TransactionCommand[] {
  const random = new Random(options.seed + 2)
  const byCurrency = new Map<string, Posting[]>()
  for (const { action, accountId, currency, limited } of accounts) {
    if (action !== 'open' || !limited || currency === null) continue
    const savings = accountId.startsWith('cust:')
      ? logNormal(random, SAVINGS_DOLLARS.median, SAVINGS_DOLLARS.sigma)
      : 0
    const amount = (outgoing.get(accountId) ?? 0n) + BigInt(Math.round(savings * minorPerDollar(currency)))
    if (amount === 0n) continue
    const debit = currency === BURST_CURRENCY ? burstExternal(options.run) : externalOf(options.run, currency)
    const postings = byCurrency.get(currency) ?? []
    postings.push({ debit, credit: accountId, amount, currency })
    byCurrency.set(currency, postings)
  }
  return fundingCommands(options, [...byCurrency.values()])
}

const externalOf = (run: string, currency: string): string => `external:${run}-${currency}`

const minorPerDollar = (currency: string): number =>
  MARKETS.find((market) => market.currency === currency)?.minorPerDollar ?? BURST_MINOR_PER_DOLLAR

/** Lets the model decide everything. */
function expect(
  options: RunOptions,
  reference: Pick<RunPlan, 'accounts' | 'cards' | 'rules' | 'funding'>,
): Expectation {
  const model = new LedgerModel(options.endTimeMs)
  const builder = new ExpectationBuilder(options)
  for (const change of reference.accounts) model.account(change)
  for (const command of reference.funding) builder.count(model.transaction(command, false), FUNDING)
  for (const change of reference.cards) model.card(change)
  for (const change of reference.rules) model.rule(change)
  for (const record of generateMix(options).records) {
    const outcome =
      record.malformation === null
        ? model.transaction(record.command, record.isParent)
        : (`dead:${record.malformation}` as const)
    builder.count(outcome, record.caseName)
  }
  const currencies = new Map(reference.accounts.map(({ accountId, currency }) => [accountId, currency ?? '']))
  return builder.finish(model.balances(), currencies)
}
