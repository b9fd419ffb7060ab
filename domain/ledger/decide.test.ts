/** Laws of the ledger that hold for any history: tried with random histories of all kinds, cut into batches at random. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { TransactionCommand } from '../transactions/command.ts'
import type { LedgerInput, TickInput } from './inputs.ts'
import {
  account,
  external,
  MemoryLedger,
  posting,
  review,
  START_MS,
  tick,
  transaction,
} from './testing/memory-ledger.ts'

const NAMES = ['alice', 'bob', 'carol', 'world', 'nostro', 'usd:alice', 'fx:EUR', 'fx:USD']
const CURRENCY_OF: Record<string, string> = { 'usd:alice': 'USD', 'fx:USD': 'USD' }

const opening = (): LedgerInput[] => [
  account('alice', { overdraftLimit: 500n }),
  account('bob', { reversalMayOverdraw: true }),
  account('carol'),
  external('world'),
  account('nostro', { normalSide: 'debit', accountClass: 'nostro' }),
  account('usd:alice', { currency: 'USD' }),
  account('fx:EUR', { accountClass: 'position', limited: false }),
  account('fx:USD', { accountClass: 'position', limited: false, currency: 'USD' }),
  transaction({ id: 'seed1', postings: [posting({ debit: 'world', credit: 'alice', amount: 1_000n })] }),
  transaction({ id: 'seed2', postings: [posting({ debit: 'world', credit: 'bob', amount: 1_000n })] }),
  transaction({ id: 'seed3', postings: [posting({ debit: 'nostro', credit: 'world', amount: 1_000n })] }),
]

const name = fc.constantFrom(...NAMES)
const EURO_NAMES = NAMES.filter((n) => (CURRENCY_OF[n] ?? 'EUR') === 'EUR')
const amount = fc.bigInt({ min: 1n, max: 400n })
/** Mostly between accounts of one currency; now and then not. */
const anyPosting = fc.oneof(
  {
    weight: 9,
    arbitrary: fc
      .record({ pair: fc.shuffledSubarray(EURO_NAMES, { minLength: 2, maxLength: 2 }), amount })
      .map(({ pair, amount: moved }) => ({
        debit: pair[0]!,
        credit: pair[1]!,
        amount: moved,
        currency: 'EUR',
      })),
  },
  {
    weight: 1,
    arbitrary: fc
      .record({ debit: name, credit: name, amount })
      .map((p) => ({ ...p, currency: CURRENCY_OF[p.debit] ?? 'EUR' })),
  },
)

/** A transaction as drawn; what it refers to is filled in from what came before it. */
const drawnTransaction = fc.record({
  kind: fc.constantFrom<TransactionCommand['kind'][]>(
    'post',
    'post',
    'post',
    'authorize',
    'authorize',
    'capture',
    'capture',
    'void',
    'reverse',
    'reverse',
    'exchange',
  ),
  postings: fc.array(anyPosting, { minLength: 1, maxLength: 3 }),
  /** How many transactions back the parent is; the id of that one is taken again where `again` says so. */
  back: fc.integer({ min: 1, max: 6 }),
  again: fc.integer({ min: 0, max: 19 }).map((n) => n === 0),
  /** Percent of the parent's amounts; null = all that is left. */
  part: fc.option(fc.bigInt({ min: 10n, max: 120n })),
  expiresIn: fc.integer({ min: 1, max: 60 }),
  exchanged: amount,
})
type Drawn = typeof drawnTransaction extends fc.Arbitrary<infer T> ? T : never

const exchangePostings = (moved: bigint): TransactionCommand['postings'] => [
  { debit: 'alice', credit: 'fx:EUR', amount: moved, currency: 'EUR' },
  { debit: 'fx:USD', credit: 'usd:alice', amount: moved + 7n, currency: 'USD' },
]

/** Fills in ids, parents and parts from the transactions before. */
const transactionOf = (
  drawn: Drawn,
  before: readonly Partial<TransactionCommand>[],
): Partial<TransactionCommand> => {
  const { kind, back, part } = drawn
  const earlier = before.at(-back)
  if (drawn.again && earlier !== undefined) return earlier
  const refers = kind === 'capture' || kind === 'void' || kind === 'reverse'
  const parts = (earlier?.postings ?? []).map((p) => ({
    ...p,
    amount: (p.amount * (part ?? 0n)) / 100n + 1n,
  }))
  const own = kind === 'exchange' ? exchangePostings(drawn.exchanged) : drawn.postings
  return {
    id: `t${before.length}`,
    kind,
    postings: refers ? (kind === 'void' || part === null ? [] : parts) : own,
    parentId: refers ? (earlier?.id ?? 'none') : null,
    expiresAt: kind === 'authorize' ? START_MS + drawn.expiresIn * 1_000 : null,
  }
}

type Step =
  | { do: 'transaction'; changes: Partial<TransactionCommand> }
  /** `behind`: so many records further on the backlog ended when it was made; 0 = there was none. */
  | { do: 'tick'; at: number; behind: number }
  | { do: 'freeze' | 'unfreeze'; account: string }
  | { do: 'review'; id: string; decision: 'release' | 'decline' }
  | { do: 'rule'; threshold: bigint }

type DrawnStep = Exclude<Step, { do: 'transaction' }> | { do: 'drawn'; drawn: Drawn }

const drawnStep: fc.Arbitrary<DrawnStep> = fc.oneof(
  { weight: 14, arbitrary: drawnTransaction.map((drawn): DrawnStep => ({ do: 'drawn', drawn })) },
  {
    weight: 2,
    arbitrary: fc
      .record({ at: fc.integer({ min: 1, max: 60 }), behind: fc.constantFrom(0, 0, 3, 8, 15) })
      .map((drawn): DrawnStep => ({ do: 'tick', ...drawn })),
  },
  {
    weight: 1,
    arbitrary: fc
      .record({
        action: fc.constantFrom('freeze' as const, 'unfreeze' as const, 'unfreeze' as const),
        account: name,
      })
      .map(({ action, account: frozen }): DrawnStep => ({ do: action, account: frozen })),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({
        id: fc.integer({ min: 0, max: 60 }).map((n) => `t${n}`),
        decision: fc.constantFrom('release' as const, 'release' as const, 'decline' as const),
      })
      .map((r): DrawnStep => ({ do: 'review', ...r })),
  },
  {
    weight: 1,
    arbitrary: fc.bigInt({ min: 50n, max: 500n }).map((threshold): DrawnStep => ({ do: 'rule', threshold })),
  },
)

const inputOf = (made: Step): LedgerInput => {
  switch (made.do) {
    case 'transaction':
      return transaction(made.changes)
    case 'tick':
      return behind(tick(START_MS + made.at * 1_000), made.behind)
    case 'review':
      return review(made.id, made.decision)
    case 'rule':
      return {
        type: 'rule',
        topic: 'rules',
        partition: 0,
        offset: 0n,
        change: {
          ruleId: 'limit',
          type: 'amount_limit',
          currency: 'EUR',
          threshold: made.threshold,
          windowMs: 0,
          action: 'hold',
          enabled: true,
          actor: '',
          occurredAt: START_MS,
        },
      }
    default:
      return account(made.account, { action: made.do })
  }
}

const behind = (made: TickInput, records: number): TickInput => {
  const ends = [{ topic: 'transactions', partition: 0, end: made.offset + BigInt(records) }]
  return records === 0 ? made : { ...made, tick: { ...made.tick, ends } }
}

const history = fc.array(drawnStep, { maxLength: 100, size: 'max' }).map((drawn) => {
  const before: Partial<TransactionCommand>[] = []
  return drawn.map((made): Step => {
    if (made.do !== 'drawn') return made
    const changes = transactionOf(made.drawn, before)
    before.push(changes)
    return { do: 'transaction', changes }
  })
})
const cuts = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 20 })

/** What a decision is, without where it stood. */
const told = (ledger: MemoryLedger) =>
  ledger.decisions.map((d) => ({
    id: d.command.id,
    cause: d.cause,
    status: d.status,
    reason: d.reason,
    recordedAt: d.recordedAt,
    postings: d.postings.map((p) => [p.debit.id, p.credit.id, p.amount, p.debitPosted, p.creditPosted]),
    reserved: d.reserved,
    rules: d.rules.map(({ ruleId, value, threshold }) => ({ ruleId, value, threshold })),
  }))

const balances = (ledger: MemoryLedger) =>
  [...ledger.accounts.values()].map((a) => [a.no, a.id, a.posted, a.reserved, a.status])

const run = (steps: readonly Step[], sizes?: readonly number[], expiriesMax = 2_000): MemoryLedger => {
  const ledger = new MemoryLedger({ expiriesMax })
  ledger.apply([...opening(), ...steps.map(inputOf)], sizes)
  return ledger
}

describe('any history', () => {
  it('keeps the sum of each currency at zero and each balance equal to the fold of its postings', () => {
    fc.assert(
      fc.property(history, (steps) => {
        const ledger = run(steps)
        const fold = new Map<string, bigint>()
        for (const decision of ledger.decisions) {
          if (decision.status !== 'applied') continue
          for (const { debit, credit, amount: moved, debitPosted, creditPosted } of decision.postings) {
            fold.set(debit.id, (fold.get(debit.id) ?? 0n) - moved)
            expect(fold.get(debit.id)).toBe(debitPosted)
            fold.set(credit.id, (fold.get(credit.id) ?? 0n) + moved)
            expect(fold.get(credit.id)).toBe(creditPosted)
          }
        }
        const sums = new Map<string, bigint>()
        for (const held of ledger.accounts.values()) {
          expect(held.posted).toBe(fold.get(held.id) ?? 0n)
          sums.set(held.currency, (sums.get(held.currency) ?? 0n) + held.posted)
        }
        for (const sum of sums.values()) expect(sum).toBe(0n)
      }),
      { numRuns: 300 },
    )
  })

  it('never breaks a limit at any decision, but for reversals that may', () => {
    fc.assert(
      fc.property(history, (steps) => {
        const ledger = new MemoryLedger()
        ledger.apply(opening())
        for (const made of steps) {
          ledger.decide([inputOf(made)])
          for (const held of ledger.accounts.values()) {
            if (!held.limited || held.reversalMayOverdraw) continue
            const balance = held.normalSide === 'credit' ? held.posted : -held.posted
            expect(balance - held.reserved + held.overdraftLimit).toBeGreaterThanOrEqual(0n)
          }
        }
      }),
      { numRuns: 300 },
    )
  })

  it('reserves exactly what its active holds still hold', () => {
    fc.assert(
      fc.property(history, (steps) => {
        const ledger = run(steps)
        const reserved = new Map<string, bigint>()
        for (const hold of ledger.holds.values()) {
          for (const p of hold.postings) {
            if (hold.status !== 'active') expect(p.remaining).toBe(0n)
            if (ledger.accounts.get(p.debit)!.normalSide === 'credit') {
              reserved.set(p.debit, (reserved.get(p.debit) ?? 0n) + p.remaining)
            }
            if (ledger.accounts.get(p.credit)!.normalSide === 'debit') {
              reserved.set(p.credit, (reserved.get(p.credit) ?? 0n) + p.remaining)
            }
          }
        }
        for (const held of ledger.accounts.values()) expect(held.reserved).toBe(reserved.get(held.id) ?? 0n)
      }),
      { numRuns: 300 },
    )
  })

  it('is decided the same however it is cut into batches, and the same again', () => {
    fc.assert(
      fc.property(history, cuts, cuts, (steps, one, other) => {
        const first = run(steps, one)
        for (const again of [run(steps, other), run(steps)]) {
          expect(told(again)).toEqual(told(first))
          expect(balances(again)).toEqual(balances(first))
          expect(again.refusals).toEqual(first.refusals)
        }
      }),
      { numRuns: 300 },
    )
  })

  it('expires the same whatever number of expiries a batch may hold', () => {
    fc.assert(
      fc.property(history, cuts, fc.integer({ min: 1, max: 3 }), (steps, sizes, expiriesMax) => {
        const [cut, whole] = [run(steps, sizes, expiriesMax), run(steps)]
        expect(told(cut)).toEqual(told(whole))
        expect(balances(cut)).toEqual(balances(whole))
      }),
      { numRuns: 300 },
    )
  })

  it('expires each hold at its own time where several times come at once', () => {
    const authorize = (id: string, seconds: number) =>
      transaction({ id, kind: 'authorize', expiresAt: START_MS + seconds * 1_000 })
    const holds = [authorize('a', 8), authorize('b', 9), authorize('c', 10), authorize('d', 20)]
    const inputs = [
      ...opening(),
      ...holds,
      // All of them wait for the second record behind them.
      ...[10, 20, 30].map((seconds, place) => behind(tick(START_MS + seconds * 1_000), 5 - place)),
      ...['e', 'f', 'g', 'h'].map((id) => transaction({ id })),
    ]
    for (const expiriesMax of [1, 2, 3, 2_000]) {
      const ledger = new MemoryLedger({ expiriesMax })
      ledger.apply(inputs)
      const expiries = ledger.decisions.filter((d) => d.status === 'expired')
      expect(expiries.map((d) => `${d.command.id} ${(d.recordedAt - START_MS) / 1_000}`)).toEqual([
        'a 10',
        'b 10',
        'c 10',
        'd 20',
      ])
      expect(ledger.time.nowMs).toBe(START_MS + 30_000)
    }
  })

  it('changes nothing when all its transactions come again', () => {
    fc.assert(
      fc.property(history, (steps) => {
        // Rules and time pass again too otherwise, so only transactions are repeated.
        const inputs = steps.map(inputOf)
        const repeated = inputs.filter((input) => input.type === 'transaction')
        const ledger = new MemoryLedger()
        ledger.apply([...opening(), ...inputs])
        const before = balances(ledger)
        const decided = ledger.decisions.length
        ledger.apply(repeated)
        expect(balances(ledger)).toEqual(before)
        for (const decision of ledger.decisions.slice(decided)) {
          expect(['duplicate', 'rejected']).toContain(decision.status)
          if (decision.status === 'rejected') expect(decision.reason).toBe('id_conflict')
        }
      }),
      { numRuns: 200 },
    )
  })
})

describe('event time', () => {
  const HOUR_MS = 3_600_000
  const outcome = (occurredAt: number, appendedAtMs: number) => {
    const ledger = new MemoryLedger()
    ledger.apply([...opening(), transaction({ id: 'late', occurredAt }, appendedAtMs)])
    return ledger.decisions.at(-1)?.reason ?? 'accepted'
  }

  it('is refused when it lies beyond the ledger time and the time at which the broker took the record', () => {
    expect(outcome(START_MS + HOUR_MS, START_MS)).toBe('time_in_future')
  })

  it('is accepted behind a backlog, where the ledger time is older than the record', () => {
    expect(outcome(START_MS + HOUR_MS, START_MS + HOUR_MS)).toBe('accepted')
  })
})
