/** A small ledger that is right in every way, for tests that break one thing of it at a time. */
import { createHash } from 'node:crypto'
import { zstdCompressSync } from 'node:zlib'
import type { OffsetChange } from '../commit-log.ts'
import { Findings } from '../findings.ts'
import { checkChain } from './check-chain.ts'
import { HistoryCheck } from './check-history.ts'
import { checkOutputs, type OutputSources } from './check-outputs.ts'
import type { BatchOrder } from './decided-order.ts'
import {
  type AccountInput,
  type Input,
  InputLog,
  type InputPosting,
  type ReviewInput,
  type RuleInput,
} from './input-log.ts'
import type { ReadRecord } from './java-topic.ts'
import type {
  HistoryPart,
  StoredAccount,
  StoredBatch,
  StoredDeadLetter,
  StoredPosting,
  StoredRule,
  StoredTransaction,
} from './stored-ledger.ts'

/** Everything that the checks look at. */
export interface World {
  inputs: [partition: number, offset: bigint, input: Input | null][]
  /** By offset. */
  references: { accounts: AccountInput[]; rules: RuleInput[]; reviews: ReviewInput[] }
  transactions: StoredTransaction[]
  postings: StoredPosting[]
  deadLetters: StoredDeadLetter[]
  accounts: StoredAccount[]
  rules: StoredRule[]
  batches: StoredBatch[]
  head: { sequence: bigint; hash: Buffer }
  positions: Map<string, bigint>
  changes: OffsetChange[]
  /** Values that left, with partition and offset. */
  outputs: {
    decisions: OutputRecord[]
    entries: OutputRecord[]
    deadLetters: OutputRecord[]
    balances: OutputRecord[]
    alerts: OutputRecord[]
    notifications: OutputRecord[]
    batches: OutputRecord[]
    accounts: OutputRecord[]
    rules: OutputRecord[]
  }
}

export type OutputRecord = { partition: number; offset: bigint; value: Record<string, unknown> }

const GENESIS = Buffer.alloc(32, 7)
const LIMIT = 100n

const input = (id: string, amount: bigint, changes: Partial<Input> = {}): Input => ({
  id,
  kind: 'post',
  parentId: null,
  postings: [{ debit: 'payer', credit: 'payee', amount, currency: 'EUR' }],
  content: `${id} ${amount} ${changes.kind ?? 'post'}`,
  ...changes,
})

const account = (changes: Partial<AccountInput>): AccountInput => ({
  action: 'open',
  accountId: 'payee',
  currency: 'EUR',
  accountClass: 'customer',
  normalSide: 'credit',
  limited: false,
  overdraftLimit: 0n,
  reversalMayOverdraw: false,
  ...changes,
})

const rule = (ruleId: string, threshold: bigint): RuleInput => ({
  ruleId,
  type: 'amount_limit',
  currency: 'EUR',
  threshold,
  windowMs: 0n,
  action: 'hold',
  enabled: true,
})

const decision = (
  place: [sequence: bigint, index: number],
  id: string,
  status: string,
  offset: bigint,
  changes: Partial<StoredTransaction> = {},
): StoredTransaction => ({
  sequence: place[0],
  index: place[1],
  id,
  cause: 'transaction',
  status,
  reason: null,
  topic: 'transactions',
  partition: 0,
  offset,
  ...changes,
})

/** Between the only two accounts. @param payee the payee's balance after it; the payer's is the opposite */
const posting = (
  place: [sequence: bigint, index: number],
  [debit, credit]: [string, string],
  amount: bigint,
  payee: bigint,
): StoredPosting => ({
  sequence: place[0],
  index: place[1],
  posting: 0,
  debit,
  credit,
  amount,
  debitPosted: debit === 'payee' ? payee : -payee,
  creditPosted: credit === 'payee' ? payee : -payee,
})

const batch = (
  sequence: bigint,
  previousHash: Buffer,
  read: { sources: Record<string, [from: number, next: number]>; order: [number, number][]; epoch: string },
): StoredBatch => {
  const sources = Object.entries(read.sources).map(([topic, [from, next]]) => ({
    topic,
    partition: 0,
    from: String(from),
    next: String(next),
    epoch: topic === 'transactions' ? read.epoch : '1',
  }))
  const header = Buffer.from(JSON.stringify({ sources, order: read.order, skips: [] }))
  const payload = Buffer.from(`frames of ${sequence}`)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(header.length)
  const hash = createHash('sha256')
    .update(Buffer.concat([previousHash, length, header, payload]))
    .digest()
  const rest = { format: 1, records: 8, recordedAtMs: 1_000n * sequence }
  return { sequence, previousHash, hash, header, payload: zstdCompressSync(payload), ...rest }
}

const change = (
  old: [bigint, bigint],
  now: [bigint, bigint],
  ownerPid: number,
  place = 'transactions:0',
): OffsetChange => ({
  place,
  oldNext: old[0],
  oldEpoch: old[1],
  next: now[0],
  epoch: now[1],
  ownerPid,
  committedAtMs: 1_000 + Number(now[0]) * 100 + Number(now[1]),
})

/** A topic that one owner read in one batch. */
const readOnce = (topic: string, next: bigint): OffsetChange[] => [
  change([0n, 0n], [0n, 1n], 11, `${topic}:0`),
  change([0n, 1n], [next, 1n], 11, `${topic}:0`),
]

const stored = (id: string, posted: bigint, limited: boolean): StoredAccount => ({
  id,
  currency: 978,
  status: 'open',
  limited,
  overdraftLimit: limited ? LIMIT : 0n,
  posted,
  reserved: 0n,
  version: 2n,
})

/**
 * Two batches under two owners. First two accounts (one opened again otherwise, one with another limit), a rule that holds what is
 * above 70 and one that is refused; a payment of 60, its copy, one that is over the limit, bytes that nobody can read. Then an
 * authorization of 30, the same id with other content, an unknown account, and the capture; 80 the other way, which are held and
 * released, and reviewed once more; and 30 of them back.
 */
export const rightWorld = (): World => {
  const first = batch(1n, GENESIS, {
    sources: { transactions: [0, 4], accounts: [0, 4], rules: [0, 2] },
    order: [
      [1, 4],
      [2, 2],
      [0, 4],
    ],
    epoch: '1',
  })
  const second = batch(2n, first.hash, {
    sources: { transactions: [4, 10], reviews: [0, 2] },
    order: [
      [0, 5],
      [1, 2],
      [0, 1],
    ],
    epoch: '2',
  })
  const forth: [string, string] = ['payer', 'payee']
  const back: [string, string] = ['payee', 'payer']
  const transactions = [
    decision([1n, 2], 'a', 'applied', 0n),
    decision([1n, 3], 'a', 'duplicate', 1n),
    decision([1n, 4], 'b', 'rejected', 2n, { reason: 'insufficient_funds' }),
    decision([2n, 0], 'c', 'authorized', 4n),
    decision([2n, 1], 'c', 'rejected', 5n, { reason: 'id_conflict' }),
    decision([2n, 2], 'd', 'rejected', 6n, { reason: 'unknown_account' }),
    decision([2n, 3], 'e', 'applied', 7n),
    decision([2n, 4], 'f', 'held', 8n),
    decision([2n, 5], 'f', 'applied', 0n, { cause: 'review', topic: 'reviews' }),
    decision([2n, 7], 'g', 'applied', 9n),
  ]
  const postings = [
    posting([1n, 2], forth, 60n, 60n),
    posting([2n, 3], forth, 30n, 90n),
    posting([2n, 5], back, 80n, 10n),
    posting([2n, 7], forth, 30n, 40n),
  ]
  const deadLetters: StoredDeadLetter[] = [
    { sequence: 1n, index: 5, topic: 'transactions', partition: 0, offset: 3n, reason: 'avro_invalid' },
    { sequence: 2n, index: 1, topic: 'transactions', partition: 0, offset: 5n, reason: 'id_conflict' },
  ]
  const move = (debit: string, credit: string, amount: bigint): InputPosting[] => [
    { debit, credit, amount, currency: 'EUR' },
  ]
  const hold = rule('hold-EUR', 70n)
  return {
    inputs: [
      [0, 0n, input('a', 60n)],
      [0, 1n, input('a', 60n)],
      [0, 2n, input('b', 50n)],
      [0, 3n, null],
      [0, 4n, input('c', 30n, { kind: 'authorize' })],
      [0, 5n, input('c', 31n, { kind: 'authorize' })],
      [0, 6n, input('d', 1n, { postings: move('payer', 'nobody', 1n) })],
      [0, 7n, input('e', 0n, { kind: 'capture', parentId: 'c', postings: [] })],
      [0, 8n, input('f', 80n, { postings: move('payee', 'payer', 80n) })],
      [0, 9n, input('g', 30n, { kind: 'reverse', parentId: 'f', postings: move('payee', 'payer', 30n) })],
    ],
    references: {
      accounts: [
        account({ accountId: 'payer', limited: true, overdraftLimit: 50n }),
        account({}),
        account({ currency: 'USD' }),
        account({ action: 'set_limit', accountId: 'payer', limited: true, overdraftLimit: LIMIT }),
      ],
      rules: [hold, rule('wrong-EUR', -1n)],
      reviews: [
        { transactionId: 'f', decision: 'release' },
        { transactionId: 'f', decision: 'decline' },
      ],
    },
    transactions,
    postings,
    deadLetters,
    accounts: [stored('payer', -40n, true), stored('payee', 40n, false)],
    rules: [{ ...hold, version: 1n }],
    batches: [first, second],
    head: { sequence: 2n, hash: second.hash },
    positions: new Map([
      ['transactions:0', 10n],
      ['accounts:0', 4n],
      ['rules:0', 2n],
      ['reviews:0', 2n],
    ]),
    changes: [
      change([0n, 0n], [0n, 1n], 11),
      change([0n, 1n], [4n, 1n], 11),
      change([4n, 1n], [4n, 2n], 22),
      change([4n, 2n], [10n, 2n], 22),
      ...readOnce('accounts', 4n),
      ...readOnce('rules', 2n),
      ...readOnce('reviews', 2n),
    ],
    outputs: {
      decisions: transactions.map((value, place) => record(place, { ...value })),
      entries: postings.flatMap((of, place) => entriesOf(of, place)),
      deadLetters: deadLetters.map((value, place) => record(place, { ...value })),
      balances: [
        record(0, { account: 'payer', posted: -60n, reserved: 0n, sequence: 1n }),
        record(1, { account: 'payee', posted: 60n, reserved: 0n, sequence: 1n }),
        record(2, { account: 'payer', posted: -40n, reserved: 0n, sequence: 2n }),
        record(3, { account: 'payee', posted: 40n, reserved: 0n, sequence: 2n }),
      ],
      alerts: [
        alertOf(0, { index: 1, kind: 'id_conflict', action: 'reject', account: 'payer', rules: [] }),
        alertOf(1, {
          ...{ index: 4, kind: 'rules', action: 'hold', account: 'payee' },
          rules: [{ ruleId: 'hold-EUR', version: 1n, value: 80n, threshold: 70n }],
        }),
      ],
      notifications: [
        refusal(0, [1n, 0], 'account_refused payee exists_with_other_content accounts 2'),
        refusal(1, [1n, 1], 'rule_refused wrong-EUR rule_invalid rules 1'),
        refusal(2, [2n, 6], 'review_refused f not_held reviews 1'),
      ],
      batches: [first, second].map((of, place) => record(place, { ...of, recordedAt: of.recordedAtMs })),
      accounts: [
        stateOf(0, account({ accountId: 'payer', limited: true, overdraftLimit: LIMIT })),
        stateOf(1, account({})),
      ],
      rules: [record(0, { ...hold, version: 1n })],
    },
  }
}

const alertOf = (place: number, value: Record<string, unknown>): OutputRecord =>
  record(place, { sequence: 2n, ...value })

/** @param text kind, subject, reason, topic and offset */
const refusal = (place: number, [sequence, index]: [bigint, number], text: string): OutputRecord => {
  const [kind, subject, reason, topic, offset] = text.split(' ')
  return record(place, {
    sequence,
    index,
    kind,
    subject,
    reason,
    topic,
    partition: 0,
    offset: BigInt(offset!),
  })
}

const stateOf = (place: number, { accountId, ...reference }: AccountInput): OutputRecord =>
  record(place, { account: accountId, sequence: 1n, status: 'open', ...reference })

const record = (place: number, value: Record<string, unknown>): OutputRecord => ({
  partition: 0,
  offset: BigInt(place),
  value,
})

const entriesOf = (of: StoredPosting, place: number): OutputRecord[] => {
  const { sequence, index, amount } = of
  const side = (entry: number, account: string, name: string, postedAfter: bigint) =>
    record(place * 2 + entry, { sequence, index, entry, account, side: name, amount, postedAfter })
  return [side(0, of.debit, 'debit', of.debitPosted), side(1, of.credit, 'credit', of.creditPosted)]
}

/** Runs the checks on a world as a run does. */
export const examine = async (
  world: World,
): Promise<{ findings: Findings; sums: Record<string, bigint> }> => {
  const findings = new Findings()
  const inputs = new InputLog({
    accounts: new Map(world.references.accounts.entries()),
    rules: new Map(world.references.rules.entries()),
    reviews: new Map(world.references.reviews.entries()),
  })
  for (const [partition, offset, of] of world.inputs) inputs.add(partition, offset, of)
  const history = new HistoryCheck(findings, inputs)
  for (const part of partsOf(world)) history.take(part)
  const sums = history.finish(world.accounts, world.rules)
  await checkChain(findings, {
    ...world,
    batches: each(world.batches),
    genesisHash: GENESIS,
    onBatch: (of) => history.outputs.addBatch(of),
  })
  const sources = Object.fromEntries(
    Object.entries(world.outputs).map(([name, records]) => [name, each(records.map(asRead))]),
  ) as unknown as OutputSources
  await checkOutputs(findings, sources, { expected: history.outputs, accounts: world.accounts })
  return { findings, sums }
}

const asRead = (of: OutputRecord): ReadRecord<unknown> => ({ ...of, key: undefined, bytes: undefined })

const partsOf = (world: World): HistoryPart[] =>
  [1n, 2n].map((sequence) => {
    const of = <Row extends { sequence: bigint }>(rows: readonly Row[]) =>
      rows.filter((row) => row.sequence === sequence)
    const orders = of(world.batches).map(({ sequence, header }) => ({
      ...(JSON.parse(header.toString()) as Omit<BatchOrder, 'sequence'>),
      sequence,
    }))
    return {
      orders,
      transactions: of(world.transactions),
      postings: of(world.postings),
      deadLetters: of(world.deadLetters),
    }
  })

async function* each<Item>(items: readonly Item[]): AsyncGenerator<Item> {
  yield* items
}
