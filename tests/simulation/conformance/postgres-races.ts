/** What is tried on the simulated and on the real Postgres: what sessions do to each other, and how statements fail. */
import {
  int8Array,
  int2Array,
  int4Array,
  boolArray,
  byteaArray,
  textArray,
  timestampArray,
  uuidArray,
} from '#platform/postgres/binary-arrays.ts'
import { START_MS } from '#domain/ledger/testing/memory-ledger.ts'
import type { BatchEffects } from '#domain/ledger/state.ts'
import type { LockedHead } from '#platform/postgres/ledger-store/store.ts'
import { writeMoves, writeToldJumps } from '#platform/postgres/ledger-store/write-rare.ts'
import type { LedgerSession } from '#platform/postgres/ledger-store/session.ts'
import type { StatementValue } from '#platform/postgres/ledger-store/store.ts'
import { attempt, type PostgresBench } from './postgres-bench.ts'
import { commitOne, commitUnder, type PostgresCase } from './tried-ledger.ts'

/** Head and positions as whoever locks the head reads them. */
const look = async (session: LedgerSession): Promise<void> => {
  await session.begin()
  await session.rollback()
}

const KEY = (name: string): string => Buffer.from(name.padEnd(16, '.')).toString('hex')

const takeIds = (bench: PostgresBench, session: LedgerSession, name: string) =>
  session.query('take-ids', bench.text('take-ids'), [
    uuidArray([KEY(name)]),
    uuidArray([KEY('content')]),
    900n,
    int4Array([0]),
    timestampArray([START_MS]),
    1,
  ])

const begin = (session: LedgerSession) => session.query('begin', 'begin')
const commit = (session: LedgerSession) => session.query('commit', 'commit')

/** A row that is there already, or must not be: by statement. */
const REFUSED: readonly (readonly [statement: string, why: string, values: readonly StatementValue[]])[] = [
  [
    'insert-accounts',
    'an id that is there',
    [
      900n,
      int8Array([900]),
      textArray(['alice']),
      int2Array([978]),
      textArray(['customer']),
      textArray(['credit']),
      textArray(['open']),
      boolArray([true]),
      int8Array([0n]),
      boolArray([false]),
      int8Array([0n]),
      int8Array([0n]),
      byteaArray([null]),
    ],
  ],
  [
    'update-balances',
    'less than nothing reserved',
    [900n, int8Array([1]), int8Array([5n]), int8Array([-1n]), byteaArray([null])],
  ],
  [
    'insert-rules',
    'a version that is there',
    [textArray(['small', 'small']), int8Array([900n, 900n]), int4Array([0, 0]), textArray(['{}', '{}'])],
  ],
  [
    'insert-postings',
    'nothing moved',
    [
      900n,
      timestampArray([START_MS]),
      int4Array([0]),
      int2Array([0]),
      int8Array([1]),
      int8Array([2]),
      int8Array([0n]),
      int2Array([978]),
      int8Array([0n]),
      int8Array([0n]),
      timestampArray([START_MS]),
    ],
  ],
  [
    'insert-batch',
    'a sequence that is there',
    [
      1n,
      new Date(START_MS).toISOString(),
      Buffer.alloc(32),
      Buffer.alloc(32),
      1,
      1,
      Buffer.alloc(1),
      Buffer.alloc(1),
    ],
  ],
]

export const RACE_CASES: readonly PostgresCase[] = [
  {
    name: 'compare-and-swaps that fail raise, and leave nothing behind',
    run: async (_bench, ledger) => {
      const { session, claims } = await ledger.take('swapper')
      const wrong = [
        { progress: { epochBy: -1n } },
        { progress: { epochBy: 1n } },
        { progress: { from: 0n } },
        { progress: { from: 999n, next: 1_000n } },
        { head: { sequence: 0n } },
        { head: { hash: Buffer.alloc(32, 9) } },
        { head: { logicVersion: 99 } },
      ]
      for (const [place, falsified] of wrong.entries()) {
        await attempt(() => commitOne(session, claims, `wrong ${place}`, falsified))
        await session.rollback()
        await look(session)
      }
      await commitOne(session, claims, 'right')
      await look(session)
    },
  },
  {
    name: 'a batch decided ahead is written only upon the head that it expects',
    run: async (_bench, ledger) => {
      const { session, claims } = await ledger.take('ahead')
      const head = await session.begin()
      await session.rollback()
      await commitUnder(session, claims, head, 'ahead', {}, { isAhead: true })
      // The head has moved: what expects the one before must not be written.
      await attempt(() => commitUnder(session, claims, head, 'too late', {}, { isAhead: true }))
      const other = { ...(await session.begin()), hash: Buffer.alloc(32, 3) }
      await session.rollback()
      await attempt(() => commitUnder(session, claims, other, 'of another past', {}, { isAhead: true }))
      await look(session)
    },
  },
  {
    name: 'an id that is taken already raises',
    run: async (_bench, ledger) => {
      const { session, claims } = await ledger.take('taker')
      const head = await session.begin()
      await attempt(() => commitUnder(session, claims, head, 'right', {}, { checkIds: false }))
      await session.rollback()
      await look(session)
    },
  },
  {
    name: 'the head is waited for, and what follows is read as it is then',
    run: async (bench, ledger) => {
      const { session, claims } = await ledger.take('holder')
      const head = await session.begin()
      const waiter = await bench.session('waiter')
      const waiting = waiter.begin()
      await bench.place.untilWaiting(1)
      await commitUnder(session, claims, head, 'while one waits')
      await waiting
      await waiter.rollback()
    },
  },
  {
    name: 'who asked for the head first has it first',
    run: async (bench, ledger) => {
      const { session } = await ledger.take('zeroth')
      await session.begin()
      const order: string[] = []
      const ask = async (label: string): Promise<void> => {
        const asking = await bench.session(label)
        const got = asking.begin().then(async () => {
          order.push(label)
          await asking.rollback()
        })
        turns.push(got)
      }
      const turns: Promise<void>[] = []
      for (const [place, label] of ['one', 'two', 'three'].entries()) {
        await ask(label)
        await bench.place.untilWaiting(place + 1)
      }
      await session.rollback()
      await Promise.all(turns)
      bench.transcript.note('all', 'order', order)
    },
  },
  {
    name: 'what is not committed is seen by nobody else',
    run: async (bench) => {
      const writer = await bench.session('writer')
      const reader = await bench.session('reader')
      const read = () => reader.query('read-accounts', bench.text('read-accounts'), [textArray(['bob'])])
      await read()
      await begin(writer)
      await writer.query('update-balances', bench.text('update-balances'), [
        900n,
        int8Array([2]),
        int8Array([77n]),
        int8Array([7n]),
        byteaArray([null]),
      ])
      await read()
      await writer.rollback()
      await read()
    },
  },
  {
    name: 'an id that somebody is taking is waited for',
    run: async (bench) => {
      const one = await bench.session('first taker')
      const two = await bench.session('second taker')
      for (const end of ['commit', 'rollback'] as const) {
        await begin(one)
        await takeIds(bench, one, end)
        await begin(two)
        const taking = attempt(() => takeIds(bench, two, end))
        await bench.place.untilWaiting(1)
        await one.query(end, end)
        await taking
        await two.rollback()
      }
    },
  },
  {
    name: 'two that wait for each other: one of them fails',
    run: async (bench) => {
      const sessions = [
        await bench.place.openSession('x', 10_000),
        await bench.place.openSession('y', 10_000),
      ]
      for (const [place, session] of sessions.entries()) {
        await begin(session)
        await takeIds(bench, session, `mine ${place}`)
      }
      const outcomes = await Promise.all(
        sessions.map(async (session, place) => {
          const outcome = await attempt(() => takeIds(bench, session, `mine ${1 - place}`))
          await session.rollback()
          return 'error' in (outcome as object) ? outcome : 'done'
        }),
      )
      // Which of them is nobody's promise.
      bench.transcript.note('all', 'outcomes', outcomes.map((each) => JSON.stringify(each)).sort())
      await Promise.all(sessions.map((session) => session.close()))
    },
  },
  {
    name: 'rows that must not be are refused, and their transaction with them',
    run: async (bench) => {
      const session = await bench.session('refused')
      for (const [statement, why, values] of REFUSED) {
        bench.transcript.note('refused', statement, why)
        await begin(session)
        await attempt(() => session.query(statement, bench.text(statement), values))
        await attempt(() => session.query('read-positions', bench.text('read-positions'), ['local']))
        await commit(session)
      }
    },
  },
  {
    name: 'a session that sits in a transaction is ended, and its locks are free',
    run: async (bench) => {
      const idler = await bench.session('idler', 300)
      const waiter = await bench.session('waiter')
      await idler.begin()
      await waiter.begin()
      await waiter.rollback()
      await attempt(() => idler.begin())
      bench.transcript.note('idler', 'is broken', idler.isBroken)
    },
  },
  {
    name: 'a transaction that takes too long is ended, even while it waits',
    run: async (bench) => {
      const holder = await bench.session('holder')
      const late = await bench.session('late', 200)
      await holder.begin()
      await attempt(() => late.begin())
      await holder.rollback()
      await look(holder)
    },
  },
  {
    name: 'whoever takes the partitions ends the session of the owner before',
    run: async (_bench, ledger) => {
      const old = await ledger.take('old owner')
      const head = await old.session.begin()
      const newer = await ledger.take('new owner')
      await attempt(() => commitUnder(old.session, old.claims, head, 'of the old owner'))
      await look(newer.session)
      await commitOne(newer.session, newer.claims, 'of the new owner')
      await look(newer.session)
    },
  },
  {
    name: 'a commit whose answer is lost has taken place',
    run: async (bench, ledger) => {
      const { session, claims } = await ledger.take('unlucky')
      const head = await session.begin()
      await bench.place.cut(session, 'after its commit')
      const outcome = await attempt(() => commitUnder(session, claims, head, 'lost reply'))
      // How much of what came before the COMMIT was answered is chance.
      bench.transcript.forget('unlucky')
      bench.transcript.note('unlucky', 'outcome', outcome)
      await look((await ledger.take('looks')).session)
    },
  },
  {
    name: 'a position is moved from where it is, and the jump is told once',
    run: async (_bench, ledger) => {
      const { session } = await ledger.take('mover')
      for (const [from, to] of [
        [1n, 9n],
        [9n, 4n],
        [1n, 2n],
      ] as const) {
        const jump = { topic: 'ticks', partition: 0, from, to }
        await begin(session)
        const moving: Promise<unknown>[] = []
        writeMoves(session, moving, { moves: [jump] } as unknown as BatchEffects)
        await attempt(() => Promise.all(moving))
        await commit(session)
        await look(session)
        // The id of the topic was forgotten with it.
        await session.claim([
          { topic: 'ticks', partition: 0, initialOffset: 0n, topicId: String(to).repeat(32) },
        ])
        for (const told of [99n, to]) {
          const telling: Promise<unknown>[] = []
          writeToldJumps(session, telling, { jumps: [{ ...jump, to: told }] } as unknown as LockedHead)
          await Promise.all(telling)
          await look(session)
        }
      }
    },
  },
  {
    name: 'what a broken connection had not committed is gone',
    run: async (bench, ledger) => {
      const { session, claims } = await ledger.take('breaks')
      const head = await session.begin()
      await takeIds(bench, session, 'breaks')
      await bench.place.cut(session, 'now')
      await attempt(() => commitUnder(session, claims, head, 'never'))
      const { session: after } = await ledger.take('after')
      await look(after)
      await begin(after)
      await takeIds(bench, after, 'breaks')
      await after.rollback()
    },
  },
]
