/** What is tried on the simulated and on the real Postgres: the engine's own calls, with rows of every kind. One after the other on one ledger. */
import type { PartyKind } from '#domain/fraud/parties.ts'
import type { LedgerInput, RuleInput, UnreadableInput } from '#domain/ledger/inputs.ts'
import {
  account,
  external,
  label,
  posting,
  review,
  START_MS,
  tick,
  transaction,
} from '#domain/ledger/testing/memory-ledger.ts'
import { transactionKey } from '#domain/transactions/canonical.ts'
import { BatchStore } from '#platform/postgres/batch-store.ts'
import { Lease } from '#platform/postgres/lease.ts'
import { noteIncident } from '#platform/postgres/positions.ts'
import { readBalances } from '#platform/postgres/queries/read-balances.ts'
import { PARTITIONS, payment, type PostgresCase } from './tried-ledger.ts'

const CLUSTER = 'local'
const rule = (ruleId: string, threshold: bigint, action: 'reject' | 'hold' | 'alert'): RuleInput => ({
  type: 'rule',
  topic: 'rules',
  partition: 0,
  offset: 0n,
  change: {
    ruleId,
    type: 'amount_limit',
    currency: 'EUR',
    threshold,
    windowMs: 0,
    action,
    enabled: true,
    actor: 'tester',
    occurredAt: START_MS,
  },
})

const rulebook = (
  change: Pick<RuleInput['change'], 'type' | 'actor' | 'definition' | 'approves'>,
): RuleInput => {
  const { change: plain, ...place } = rule(change.type, 0n, 'alert')
  return { ...place, change: { ...plain, currency: null, ...change } }
}

/** The version of the proposal: the batch that it comes in. */
const PROPOSED_IN = 12n
const looksAtParties = JSON.stringify({
  format: 1,
  name: 'parties',
  version: 1,
  rules: [
    {
      id: 'busy',
      version: 1,
      title: 'Busy',
      words: '{value} of {threshold}',
      fires: { feature: 'terminal_count_1d', above: 1 },
      when: {
        any: [
          { feature: 'device_count_1d', atLeast: 0 },
          { feature: 'account_frauds_28d', atLeast: 0 },
        ],
      },
      weight: 1,
      action: 'alert',
      mode: 'live',
      onError: 'open',
      author: 'ann',
      approvedBy: 'ben',
    },
  ],
})
const at = (id: string, terminal: string | null, others: Parameters<typeof transaction>[0] = {}) =>
  transaction({
    id,
    terminal,
    postings: [posting({ debit: 'alice', credit: 'world', amount: 1n })],
    ...others,
  })

const unreadable = (): UnreadableInput => ({
  type: 'dead',
  topic: 'transactions',
  partition: 0,
  offset: 0n,
  letter: {
    reason: 'avro_invalid',
    detail: 'nobody can read it',
    key: null,
    value: Buffer.from([1, 2]),
    valueBytes: 2,
    valueSha256: Buffer.alloc(32, 5),
    contentType: null,
  },
})

/** Of partition `partition`. */
const by = <T extends LedgerInput>(partition: number, input: T): T => ({ ...input, partition })

const EVERYTHING: readonly (readonly LedgerInput[])[] = [
  [account('alice'), account('bob', { overdraftLimit: 500n }), external('world'), external('yen', 'JPY')],
  [
    payment('p1', 1_000n),
    by(1, payment('p2', 300n)),
    by(
      2,
      transaction({
        id: 'p3',
        postings: [posting({ amount: 40n }), posting({ credit: 'world', amount: 7n })],
      }),
    ),
  ],
  [
    transaction({
      id: 'a1',
      kind: 'authorize',
      postings: [posting({ amount: 100n })],
      expiresAt: START_MS + 1_000,
    }),
    transaction({ id: 'a2', kind: 'authorize', postings: [posting({ amount: 50n })] }),
    transaction({ id: 'a3', kind: 'authorize', postings: [posting({ amount: 5n })] }),
  ],
  [
    transaction({ id: 'c1', kind: 'capture', parentId: 'a2', postings: [] }),
    by(1, transaction({ id: 'v1', kind: 'void', parentId: 'a3', postings: [] })),
    by(2, transaction({ id: 'r1', kind: 'reverse', parentId: 'p3', postings: [] })),
  ],
  [rule('small', 5_000n, 'alert'), rule('large', 20n, 'hold')],
  [
    transaction({ id: 'h1', postings: [posting({ amount: 30n })] }),
    transaction({ id: 'h2', postings: [posting({ amount: 31n })] }),
    transaction({ id: 'h3', postings: [posting({ amount: 32n })] }),
  ],
  [review('h1', 'release'), review('h2', 'decline')],
  [transaction({ id: 'r2', kind: 'reverse', parentId: 'h1', postings: [] })],
  [
    payment('p1', 1_000n),
    by(1, payment('p2', 301n)),
    by(2, transaction({ id: 'poor', postings: [posting({ amount: 1_000_000n })] })),
    transaction({ id: 'nobody', postings: [posting({ credit: 'nobody' })] }),
  ],
  [
    account('bob', { action: 'set_limit', overdraftLimit: 900n }),
    account('alice', { action: 'freeze' }),
    account('carol', { currency: 'JPY' }),
  ],
  [
    rule('large', 25n, 'reject'),
    account('alice', { action: 'unfreeze' }),
    unreadable(),
    tick(START_MS + 60_000),
  ],
  [rulebook({ type: 'rulebook_proposal', actor: 'ann', definition: looksAtParties })],
  [rulebook({ type: 'rulebook', actor: 'ben', approves: PROPOSED_IN })],
  [at('t1', 'lobby', { device: 'phone' }), at('t2', 'lobby'), at('t3', null, { merchant: 'lobby' })],
  [at('t4', 'lobby', { device: 'other' }), at('t5', 'kiosk', { device: 'phone' })],
  [label('t1', 'fraud'), label('t3', 'genuine'), label('p1', 'fraud'), label('nobody', 'fraud')],
  [label('t1', 'genuine'), label('t3', 'genuine'), label('a1', 'fraud')],
]

const KEYS = [
  'p1',
  'p2',
  'p3',
  'a1',
  'a2',
  'a3',
  'c1',
  'r1',
  'h1',
  'h2',
  'h3',
  'poor',
  't1',
  't3',
  't5',
  'never',
].map((id) => transactionKey('test', id))

const PARTIES = new Map(
  [
    ['terminal', 'lobby'],
    ['merchant', 'lobby'],
    ['terminal', 'never'],
    ['device', 'phone'],
  ].map(([kind, name]) => [`${kind}:${name}`, { kind: kind as PartyKind, name: name! }]),
)

export const ROW_CASES: readonly PostgresCase[] = [
  {
    name: 'partitions are claimed, released and claimed again',
    run: async (bench, ledger) => {
      const { session, claims } = await ledger.take('first')
      await session.query('set-config', `select set_config('jit', $1, false)`, ['off'])
      await session.release([...claims.values()])
      // The id that is known first is kept.
      for (const digit of ['1', '2']) {
        await session.claim(PARTITIONS.slice(0, 2).map((p) => ({ ...p, topicId: digit.repeat(32) })))
      }
      // An epoch that isn't its own releases nothing.
      await session.release([{ ...claims.get('rules:0')!, epoch: 99n }])
      await ledger.take('second')
      await noteIncident(bench.pool as never, CLUSTER, {
        topic: 'rules',
        partition: 0,
        code: 'x',
        detail: 'y',
      })
    },
  },
  {
    name: 'batches with rows of every kind, and all that can be read of them',
    run: async (_bench, ledger) => {
      await ledger.take('decider')
      for (const inputs of EVERYTHING) {
        await ledger.apply(inputs)
        await ledger.loadAll({
          accountIds: new Set(['alice', 'bob', 'world', 'yen', 'carol', 'nobody']),
          idKeys: KEYS,
          parentKeys: new Set(KEYS),
          latestTick: START_MS + 10_000_000_000,
          labelKeys: new Set(KEYS),
          parties: () => PARTIES,
        })
      }
    },
  },
  {
    name: 'the publisher reads batches and notes how far it came',
    run: async (bench) => {
      const store = new BatchStore(bench.pool as never)
      await store.readAfter(0n, { batchesMax: 3, bytesMax: 1_000_000 })
      await store.readAfter(3n, { batchesMax: 100, bytesMax: 1 })
      await store.readAfter(5n, { batchesMax: 100, bytesMax: 1_000_000 })
      await store.readAfter(900n, { batchesMax: 100, bytesMax: 1_000_000 })
      for (const sequence of [4n, 2n, 5n]) {
        await store.notePublished(sequence)
        bench.transcript.note('pool', 'head', await store.readHead())
      }
    },
  },
  {
    name: 'balances for the cache',
    run: async (bench) => {
      await readBalances(bench.readPool as never, ['alice', 'nobody', 'yen', 'bob'])
      await readBalances(bench.readPool as never, [])
    },
  },
  {
    name: 'leases are taken, kept, run out and are given back',
    run: async (bench) => {
      const lease = (holder: string, lifetimeMs = 60_000) =>
        new Lease(bench.pool as never, { name: 'publisher', holder, lifetimeMs })
      const take = async (holder: string, lifetimeMs?: number) =>
        bench.transcript.note('pool', `${holder} takes`, await lease(holder, lifetimeMs).take())
      await take('a')
      await take('b')
      await lease('b').release()
      await take('b')
      await take('a', 50)
      await bench.place.wait(200)
      await take('b')
      await take('a')
      await lease('b').release()
      await take('a')
    },
  },
]
