/**
 * The checker's book against the ledger's own decisions, on what a run sends: they share no code, so what both say is so. A book
 * that were wrong would accuse a right ledger, and one that passes everything would show in checks.test.ts.
 */
import { expect, test } from 'vitest'
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import type { BatchEffects, LedgerState } from '#domain/ledger/state.ts'
import { MemoryLedger } from '#domain/ledger/testing/memory-ledger.ts'
import { currencyByCode } from '#domain/money/currency.ts'
import { contentHash, transactionKey } from '#domain/transactions/canonical.ts'
import { blankCommand } from '#domain/transactions/command.ts'
import { Findings } from '../findings.ts'
import { accountChange, firstRules } from '../reference-plan.ts'
import { seededRandom } from '../seeded-random.ts'
import { CURRENCIES, type PlannedRecord, planAccounts, TransactionPlan } from '../transactions.ts'
import { HistoryCheck } from './check-history.ts'
import { checkOutputs, type OutputSources } from './check-outputs.ts'
import type { BatchOrder } from './decided-order.ts'
import { type AccountInput, InputLog, type ReviewInput, type RuleInput } from './input-log.ts'
import type {
  HistoryPart,
  StoredAccount,
  StoredPosting,
  StoredRule,
  StoredTransaction,
} from './stored-ledger.ts'

const NOW_MS = 1_700_000_000_000
const ACCOUNTS = 30
const TRANSACTIONS = 9_000
const BATCH_MAX = 40
const ACTOR = { actor: 'tests', occurredAt: NOW_MS }

/** What Java would read, what Postgres would hold and what would leave, of one run. */
class Run {
  readonly logs = { accounts: new Map(), rules: new Map(), reviews: new Map() } as {
    accounts: Map<number, AccountInput>
    rules: Map<number, RuleInput>
    reviews: Map<number, ReviewInput>
  }
  readonly inputs = new InputLog(this.logs)
  readonly ledger = new MemoryLedger()
  readonly part = { orders: [], transactions: [], postings: [], deadLetters: [] } as {
    [list in keyof HistoryPart]: HistoryPart[list][number][]
  }
  readonly rules: StoredRule[] = []
  readonly left: Record<'alerts' | 'notifications' | 'accounts' | 'rules', Record<string, unknown>[]> = {
    ...{ alerts: [], notifications: [], accounts: [], rules: [] },
  }
  readonly #next = new Map<string, bigint>()

  #take(topic: string): bigint {
    const offset = this.#next.get(topic) ?? 0n
    this.#next.set(topic, offset + 1n)
    return offset
  }

  /** Puts a record into its log. @returns it as the ledger gets it */
  send(record: PlannedRecord): LedgerInput {
    const offset = this.#take(record.topic)
    const at = { topic: record.topic, partition: 0, offset }
    if (record.topic !== 'transactions') return this.#sendReference(record, Number(offset), at)
    if (record.transaction === undefined) {
      this.inputs.add(0, offset, null)
      const letter = { reason: 'avro_invalid', detail: '', key: null, value: null, valueBytes: 0 } as const
      return { type: 'dead', ...at, letter: { ...letter, valueSha256: Buffer.alloc(32), contentType: null } }
    }
    const { id, kind, parentId, postings } = record.transaction
    const command = blankCommand({ ...record.transaction, source: 'faults', ...ACTOR })
    const content = contentHash(command)
    this.inputs.add(0, offset, { id, kind, parentId, postings, content })
    return {
      type: 'transaction',
      ...at,
      command,
      key: transactionKey('faults', id),
      content,
      appendedAtMs: NOW_MS,
    }
  }

  #sendReference(
    { topic, value }: Exclude<PlannedRecord, { topic: 'transactions' }>,
    offset: number,
    at: { topic: string; partition: number; offset: bigint },
  ): LedgerInput {
    if (topic === 'accounts') {
      this.logs.accounts.set(offset, value as unknown as AccountInput)
      return { type: 'account', ...at, change: { ...value, ...ACTOR } } as unknown as LedgerInput
    }
    if (topic === 'rules') {
      this.logs.rules.set(offset, value as unknown as RuleInput)
      return { type: 'rule', ...at, change: { ...value, windowMs: 0, ...ACTOR } } as unknown as LedgerInput
    }
    this.logs.reviews.set(offset, value as unknown as ReviewInput)
    const review = { ...value, source: 'faults', ...ACTOR }
    const key = transactionKey('faults', String(value.transactionId))
    return { type: 'review', ...at, review, key } as unknown as LedgerInput
  }

  decide(batch: readonly LedgerInput[]): void {
    this.part.orders.push(orderOf(this.ledger.sequence + 1n, batch))
    this.ledger.decide(batch, (state, effects) => this.#keep(state, effects))
  }

  #keep({ sequence }: LedgerState, effects: BatchEffects): void {
    for (const decision of effects.decisions) {
      const { index, command, cause, status, reason, position } = decision
      const { topic, partition, offset } = position
      const row: StoredTransaction = {
        ...{ sequence, index, id: command.id, cause, status, reason: reason ?? null },
        ...{ topic, partition, offset },
      }
      this.part.transactions.push(row)
      if (status !== 'applied') continue
      for (const [posting, of] of decision.postings.entries()) {
        const { amount, debitPosted, creditPosted } = of
        const moved: StoredPosting = {
          ...{ sequence, index, posting, debit: of.debit.id, credit: of.credit.id },
          ...{ amount, debitPosted, creditPosted },
        }
        this.part.postings.push(moved)
      }
    }
    for (const { index, letter, position } of effects.deadLetters) {
      const { topic, partition, offset } = position
      this.part.deadLetters.push({ sequence, index, topic, partition, offset, reason: letter.reason })
    }
    for (const { index, decision, kind, action, account } of effects.alerts) {
      this.left.alerts.push({ sequence, index, kind, action, account, rules: decision.rules })
    }
    for (const { position, ...rest } of effects.notifications) {
      this.left.notifications.push({ ...position, ...rest, sequence })
    }
    for (const account of effects.accounts) {
      if (account.referenceChanged) this.left.accounts.push({ ...account, account: account.id, sequence })
    }
    for (const rule of effects.rules) {
      this.rules.push(rule)
      this.left.rules.push({ ...rule })
    }
  }

  accounts(): StoredAccount[] {
    return [...this.ledger.accounts.values()].map((account) => ({
      ...account,
      currency: currencyByCode(account.currency)!.numeric,
    }))
  }
}

const orderOf = (sequence: bigint, batch: readonly LedgerInput[]): BatchOrder => {
  const sources = [...new Set(batch.map(({ topic }) => topic))].map((topic) => {
    const offsets = batch.filter((input) => input.topic === topic).map(({ offset }) => offset)
    return { topic, partition: 0, from: String(offsets[0]), next: String(offsets.at(-1)! + 1n) }
  })
  const place = (topic: string) => sources.findIndex((source) => source.topic === topic)
  return { sequence, sources, order: batch.map(({ topic }) => [place(topic), 1] as const), skips: [] }
}

const each = async function* (values: readonly Record<string, unknown>[]) {
  for (const [place, value] of values.entries()) {
    yield { partition: 0, offset: BigInt(place), key: undefined, bytes: undefined, value }
  }
}

test.each([1, 2])('both decide the same of what seed %i sends', async (seed) => {
  const random = seededRandom(seed)
  const accounts = planAccounts(ACCOUNTS)
  const opened = accounts.map(({ id, ...changes }) => accountChange('open', id, changes))
  const plan = new TransactionPlan(accounts, random)
  const run = new Run()
  run.decide([...opened, ...firstRules(CURRENCIES)].map((record) => run.send(record)))
  let batch: LedgerInput[] = []
  for (let sent = 0; sent < TRANSACTIONS; sent += 1) {
    batch.push(...plan.next().map((record) => run.send(record)))
    if (random.below(BATCH_MAX) > 0) continue
    run.decide(batch)
    batch = []
  }
  run.decide(batch)

  const findings = new Findings()
  const history = new HistoryCheck(findings, run.inputs)
  history.take(run.part)
  const sums = history.finish(run.accounts(), run.rules)
  const sources = {
    ...{
      decisions: each([]),
      entries: each([]),
      deadLetters: each([]),
      batches: each([]),
      balances: each([]),
    },
    ...Object.fromEntries(Object.entries(run.left).map(([topic, values]) => [topic, each(values)])),
  } as unknown as OutputSources
  await checkOutputs(findings, sources, { expected: onlyViews(history), accounts: [] })
  expect(findings.all.filter(({ wrong }) => wrong > 0)).toEqual([])
  expect(sums).toEqual({ EUR: 0n, USD: 0n, JPY: 0n })

  const kinds = new Set(
    run.ledger.decisions.map(({ command, cause, status }) => `${command.kind} ${cause} ${status}`),
  )
  expect([...kinds].sort()).toEqual(expect.arrayContaining(EXPECTED_KINDS))
  const reasons = new Set(run.ledger.decisions.map(({ reason }) => reason))
  expect([...reasons]).toEqual(expect.arrayContaining(EXPECTED_REASONS))
})

/** The others say what the tables say: nothing to compare here. */
const onlyViews = ({ outputs }: HistoryCheck): HistoryCheck['outputs'] => {
  for (const list of [outputs.decisions, outputs.entries, outputs.deadLetters, outputs.batches]) list.clear()
  return outputs
}

/** Without them a run would show nothing about them. */
const EXPECTED_KINDS = [
  ...['post transaction applied', 'post transaction held', 'post review applied', 'post review declined'],
  ...['exchange transaction applied', 'exchange transaction held', 'exchange review applied'],
  ...['authorize transaction authorized', 'authorize transaction held', 'authorize review authorized'],
  ...['capture transaction applied', 'void transaction voided', 'reverse transaction applied'],
  ...['reverse transaction rejected', 'capture transaction rejected', 'post transaction duplicate'],
]
const EXPECTED_REASONS = [
  ...['insufficient_funds', 'unknown_account', 'id_conflict', 'fraud_rejected', 'account_frozen'],
  ...['reversal_exceeds_posted', 'parent_not_posted', 'parent_not_authorized'],
]
