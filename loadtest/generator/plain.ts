/**
 * The plain mixes, for benchmarks: transfers with one posting, all of them applied. `plain` draws the accounts evenly, `hot` credits
 * one account in every transfer, `zipf` draws both sides by Zipf's law with exponent 1.
 */
import { type AccountChange, blankCommand, type Posting } from '#domain/transactions/command.ts'
import { Zipf } from './distributions.ts'
import { ExpectationBuilder, FUNDING } from './expectation.ts'
import { fundingCommands } from './funding.ts'
import { sourceOf } from './generator.ts'
import { Random } from './random.ts'
import { ACTOR, type GeneratedRecord } from './records.ts'
import type { Mix, RunOptions, RunPlan } from './run.ts'

const CURRENCY = 'USD'
const AMOUNT_MAX = 10_000
const CASE = 'transfer'
/** Event times lie in it, evenly: nobody pays so often that fraud rules would speak of nothing else. */
const SPAN_MS = 29 * 86_400_000

const accountName = (run: string, index: number): string => `plain:${run}-${index}`

interface Transfer {
  readonly from: number
  readonly to: number
  readonly amount: number
}

const HOT_ACCOUNT = 0

/** Draws payer and payee of a transfer; never the same twice. */
const drawerOf = (mix: Mix, accounts: number): ((random: Random) => { from: number; to: number }) => {
  // Any other account: a step of 1 to accounts - 1 further.
  const another = (random: Random, from: number) => (from + random.integer(1, accounts - 1)) % accounts
  if (mix === 'hot') return (random) => ({ from: another(random, HOT_ACCOUNT), to: HOT_ACCOUNT })
  if (mix === 'zipf') {
    const zipf = new Zipf(accounts, 1)
    return (random) => {
      const from = zipf.draw(random)
      const to = zipf.draw(random)
      return { from, to: from === to ? another(random, from) : to }
    }
  }
  return (random) => {
    const from = random.integer(0, accounts - 1)
    return { from, to: another(random, from) }
  }
}

function* transfersOf({ seed, transactions, accounts, mix }: RunOptions): Generator<Transfer> {
  const random = new Random(seed)
  const draw = drawerOf(mix, accounts)
  for (let index = 0; index < transactions; index += 1) {
    const { from, to } = draw(random)
    yield { from, to, amount: random.integer(1, AMOUNT_MAX) }
  }
}

function* recordsOf(options: RunOptions): Generator<GeneratedRecord> {
  const { run, endTimeMs, accounts, transactions } = options
  const names = Array.from({ length: accounts }, (_, index) => accountName(run, index))
  const source = sourceOf(run)
  let number = 0
  for (const { from, to, amount } of transfersOf(options)) {
    number += 1
    const debit = names[from]!
    const command = blankCommand({
      id: `${run}-${number.toString(36)}`,
      source,
      postings: [{ debit, credit: names[to]!, amount: BigInt(amount), currency: CURRENCY }],
      occurredAt: endTimeMs - SPAN_MS + Math.floor((number * SPAN_MS) / transactions),
      actor: ACTOR,
    })
    yield {
      caseName: CASE,
      key: debit,
      command,
      form: 'avro',
      malformation: null,
      intended: 'applied',
      isParent: false,
    }
  }
}

/** Plans a plain run. Each account's funding covers all its payments, so none can fail in any order. */
export function planPlain(options: RunOptions): RunPlan {
  const { run, accounts, transactions, endTimeMs } = options
  // Below 2^53: at most 10^8 transfers of 10^4.
  const outgoing = new Float64Array(accounts)
  const net = new Float64Array(accounts)
  for (const { from, to, amount } of transfersOf(options)) {
    outgoing[from]! += amount
    net[from]! -= amount
    net[to]! += amount
  }
  const external = `external:${run}-${CURRENCY}`
  const funding: Posting[] = []
  for (const [index, amount] of outgoing.entries()) {
    if (amount === 0) continue
    const credit = accountName(run, index)
    funding.push({ debit: external, credit, amount: BigInt(amount), currency: CURRENCY })
  }
  const commands = fundingCommands(options, [funding])
  const balances = new Map<string, { posted: bigint; reserved: bigint }>()
  let paidOut = 0n
  for (let index = 0; index < accounts; index += 1) {
    const posted = BigInt(outgoing[index]! + net[index]!)
    balances.set(accountName(run, index), { posted, reserved: 0n })
    paidOut += BigInt(outgoing[index]!)
  }
  balances.set(external, { posted: -paidOut, reserved: 0n })
  const builder = new ExpectationBuilder(options)
  builder.countMany('applied', FUNDING, commands.length)
  builder.countMany('applied', CASE, transactions)
  const currencies = new Map([...balances.keys()].map((id) => [id, CURRENCY]))
  return {
    run,
    source: sourceOf(run),
    transactions,
    accounts: [...balances.keys()].map((id) => opening(id, id === external, endTimeMs)),
    cards: [],
    funding: commands,
    rules: [],
    records: () => recordsOf(options),
    expectation: builder.finish(balances, currencies),
  }
}

const opening = (accountId: string, isExternal: boolean, occurredAt: number): AccountChange => ({
  action: 'open',
  accountId,
  currency: CURRENCY,
  accountClass: isExternal ? 'external' : 'customer',
  normalSide: isExternal ? 'debit' : 'credit',
  limited: !isExternal,
  overdraftLimit: 0n,
  reversalMayOverdraw: false,
  actor: ACTOR,
  occurredAt,
})
