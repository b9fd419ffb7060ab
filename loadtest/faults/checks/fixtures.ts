/** A small ledger that is right in every way, for tests that break one thing of it at a time. */
import { createHash } from 'node:crypto'
import { zstdCompressSync } from 'node:zlib'
import type { OffsetChange } from '../commit-log.ts'
import { Findings } from '../findings.ts'
import { checkChain } from './check-chain.ts'
import { HistoryCheck } from './check-history.ts'
import { checkOutputs, type OutputSources } from './check-outputs.ts'
import { type Input, InputLog } from './input-log.ts'
import type { ReadRecord } from './java-topic.ts'
import type {
  HistoryPart,
  StoredAccount,
  StoredBatch,
  StoredDeadLetter,
  StoredPosting,
  StoredTransaction,
} from './stored-ledger.ts'

/** Everything that the checks look at. */
export interface World {
  inputs: [partition: number, offset: bigint, input: Input | null][]
  transactions: StoredTransaction[]
  postings: StoredPosting[]
  deadLetters: StoredDeadLetter[]
  accounts: StoredAccount[]
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

const decision = (
  place: [sequence: bigint, index: number],
  id: string,
  status: string,
  offset: bigint,
  reason: string | null = null,
): StoredTransaction => ({
  sequence: place[0],
  index: place[1],
  id,
  cause: 'transaction',
  status,
  reason,
  partition: 0,
  offset,
})

const posting = (sequence: bigint, index: number, amount: bigint, after: bigint): StoredPosting => ({
  sequence,
  index,
  posting: 0,
  debit: 'payer',
  credit: 'payee',
  amount,
  debitPosted: -after,
  creditPosted: after,
})

const batch = (
  sequence: bigint,
  previousHash: Buffer,
  source: { from: string; next: string; epoch: string },
): StoredBatch => {
  const header = Buffer.from(
    JSON.stringify({ sources: [{ topic: 'transactions', partition: 0, ...source }] }),
  )
  const payload = Buffer.from(`frames of ${sequence}`)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(header.length)
  const hash = createHash('sha256')
    .update(Buffer.concat([previousHash, length, header, payload]))
    .digest()
  return { sequence, previousHash, hash, header, payload: zstdCompressSync(payload) }
}

const change = (old: [bigint, bigint], now: [bigint, bigint], ownerPid: number): OffsetChange => ({
  place: 'transactions:0',
  oldNext: old[0],
  oldEpoch: old[1],
  next: now[0],
  epoch: now[1],
  ownerPid,
  committedAtMs: 1_000 + Number(now[0]) * 100 + Number(now[1]),
})

const account = (id: string, posted: bigint, limited: boolean, reserved = 0n): StoredAccount => ({
  id,
  currency: 978,
  limited,
  overdraftLimit: limited ? LIMIT : 0n,
  posted,
  reserved,
  version: 2n,
})

/**
 * Two batches under two owners: a payment of 60, its copy, one that is over the limit, bytes that nobody can read; then an
 * authorization of 30, the same id with other content, an unknown account, and the capture.
 */
export const rightWorld = (): World => {
  const first = batch(1n, GENESIS, { from: '0', next: '4', epoch: '1' })
  const second = batch(2n, first.hash, { from: '4', next: '8', epoch: '2' })
  const transactions = [
    decision([1n, 0], 'a', 'applied', 0n),
    decision([1n, 1], 'a', 'duplicate', 1n),
    decision([1n, 2], 'b', 'rejected', 2n, 'insufficient_funds'),
    decision([2n, 0], 'c', 'authorized', 4n),
    decision([2n, 1], 'c', 'rejected', 5n, 'id_conflict'),
    decision([2n, 2], 'd', 'rejected', 6n, 'unknown_account'),
    decision([2n, 3], 'e', 'applied', 7n),
  ]
  const postings = [posting(1n, 0, 60n, 60n), posting(2n, 3, 30n, 90n)]
  const deadLetters: StoredDeadLetter[] = [
    { sequence: 1n, index: 3, topic: 'transactions', partition: 0, offset: 3n, reason: 'avro_invalid' },
    { sequence: 2n, index: 1, topic: 'transactions', partition: 0, offset: 5n, reason: 'id_conflict' },
  ]
  const nobody = [{ debit: 'payer', credit: 'nobody', amount: 1n, currency: 'EUR' }]
  return {
    inputs: [
      [0, 0n, input('a', 60n)],
      [0, 1n, input('a', 60n)],
      [0, 2n, input('b', 50n)],
      [0, 3n, null],
      [0, 4n, input('c', 30n, { kind: 'authorize' })],
      [0, 5n, input('c', 31n, { kind: 'authorize' })],
      [0, 6n, input('d', 1n, { postings: nobody })],
      [0, 7n, input('e', 0n, { kind: 'capture', parentId: 'c', postings: [] })],
    ],
    transactions,
    postings,
    deadLetters,
    accounts: [account('payer', -90n, true), account('payee', 90n, false)],
    batches: [first, second],
    head: { sequence: 2n, hash: second.hash },
    positions: new Map([['transactions:0', 8n]]),
    changes: [
      change([0n, 0n], [0n, 1n], 11),
      change([0n, 1n], [4n, 1n], 11),
      change([4n, 1n], [4n, 2n], 22),
      change([4n, 2n], [8n, 2n], 22),
    ],
    outputs: {
      decisions: transactions.map((value, place) => record(place, { ...value })),
      entries: postings.flatMap((of, place) => entriesOf(of, place)),
      deadLetters: deadLetters.map((value, place) => record(place, { ...value })),
      balances: [
        record(0, { account: 'payer', posted: -60n, reserved: 0n, sequence: 1n }),
        record(1, { account: 'payee', posted: 60n, reserved: 0n, sequence: 1n }),
        record(2, { account: 'payer', posted: -90n, reserved: 0n, sequence: 2n }),
        record(3, { account: 'payee', posted: 90n, reserved: 0n, sequence: 2n }),
      ],
    },
  }
}

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
  const inputs = new InputLog()
  for (const [partition, offset, of] of world.inputs) inputs.add(partition, offset, of)
  const opened = rightWorld().accounts
  const history = new HistoryCheck(findings, { inputs, accounts: opened })
  for (const part of partsOf(world)) history.take(part)
  const sums = history.finish(world.accounts)
  await checkChain(findings, { ...world, batches: each(world.batches), genesisHash: GENESIS })
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
    return {
      transactions: of(world.transactions),
      postings: of(world.postings),
      deadLetters: of(world.deadLetters),
    }
  })

async function* each<Item>(items: readonly Item[]): AsyncGenerator<Item> {
  yield* items
}
