/** Horizons: what lies beyond them is out of reach, whether or not somebody has deleted it already. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { historyFromMs, ID_MARGIN_MS, idsFromMs, NO_HORIZONS } from './horizons.ts'
import type { LedgerInput, TransactionInput } from './inputs.ts'
import {
  account,
  external,
  MemoryLedger,
  posting,
  START_MS,
  tick,
  transaction,
  horizon,
} from './testing/memory-ledger.ts'

const DAY_MS = 86_400_000
const atDay = (day: number) => tick(START_MS + day * DAY_MS)
const pay = (id: string, day: number, amount = 5n): TransactionInput =>
  transaction({
    id,
    occurredAt: START_MS + day * DAY_MS,
    postings: [posting({ debit: 'world', credit: 'alice', amount })],
  })
const about = (kind: 'reverse' | 'capture' | 'void', id: string, parentId: string, day: number) =>
  transaction({ id, kind, parentId, postings: [], occurredAt: START_MS + day * DAY_MS })
const authorize = (id: string, day: number, expiresDay: number) =>
  transaction({
    id,
    kind: 'authorize',
    occurredAt: START_MS + day * DAY_MS,
    expiresAt: START_MS + expiresDay * DAY_MS,
    postings: [posting({ debit: 'world', credit: 'alice', amount: 5n })],
  })

const opened = (): MemoryLedger => {
  const ledger = new MemoryLedger()
  ledger.apply([external('world'), account('alice', { reversalMayOverdraw: true })])
  return ledger
}
const outcomeOf = (ledger: MemoryLedger, id: string): string => {
  const decision = ledger.decisions.findLast((each) => each.command.id === id)!
  return decision.reason ?? decision.status
}

describe('the horizon of history', () => {
  it('ends reversals by age to the millisecond, by the time at which the id was taken', () => {
    const ledger = opened()
    ledger.apply([horizon('history_horizon', 60), pay('p', 0), pay('q', 0)])
    ledger.apply([atDay(60), about('reverse', 'in time', 'p', 60)])
    ledger.apply([tick(START_MS + 60 * DAY_MS + 1), about('reverse', 'late', 'q', 60)])
    expect([outcomeOf(ledger, 'in time'), outcomeOf(ledger, 'late')]).toEqual(['applied', 'parent_too_old'])
  })

  it('says the same of what was posted, refused or held, and leaves authorizations to their holds', () => {
    const ledger = opened()
    ledger.apply([
      pay('posted', 0),
      pay('refused', 0, -1n),
      authorize('open', 0, 200),
      horizon('history_horizon', 60),
    ])
    ledger.apply([atDay(100), about('reverse', 'r1', 'posted', 100), about('reverse', 'r2', 'refused', 100)])
    ledger.apply([
      about('capture', 'c1', 'posted', 100),
      about('void', 'v1', 'posted', 100),
      about('capture', 'c2', 'open', 100),
    ])
    ledger.apply([about('reverse', 'r3', 'never seen', 100), about('reverse', 'r4', 'c2', 100)])
    expect(['r1', 'r2', 'c1', 'v1', 'c2', 'r3', 'r4'].map((id) => outcomeOf(ledger, id))).toEqual([
      'parent_too_old',
      'parent_too_old',
      'parent_too_old',
      'parent_too_old',
      'applied',
      'parent_unknown',
      'applied',
    ])
  })

  it('gives nothing back when it is moved back or switched off', () => {
    const ledger = opened()
    ledger.apply([pay('p', 0), horizon('history_horizon', 40), atDay(50)])
    ledger.apply([horizon('history_horizon', 400), about('reverse', 'after growing', 'p', 50)])
    ledger.apply([
      horizon('history_horizon', 400, { enabled: false }),
      about('reverse', 'after the end', 'p', 50),
    ])
    expect([outcomeOf(ledger, 'after growing'), outcomeOf(ledger, 'after the end')]).toEqual([
      'parent_too_old',
      'parent_too_old',
    ])
    ledger.apply([pay('young', 50), atDay(5000), about('reverse', 'no horizon any more', 'young', 5000)])
    expect(outcomeOf(ledger, 'no horizon any more')).toBe('applied')
  })
})

describe('the horizon of ids', () => {
  it('refuses what claims to be older; duplicates stay duplicates until the margin is over too', () => {
    const ledger = opened()
    ledger.apply([horizon('history_horizon', 400), horizon('id_horizon', 400), pay('p', 0)])
    ledger.apply([atDay(432), pay('p', 0), pay('old', 31), pay('young', 32)])
    expect(['p', 'old', 'young'].map((id) => outcomeOf(ledger, id))).toEqual([
      'duplicate',
      'too_old',
      'applied',
    ])
    ledger.apply([tick(START_MS + 432 * DAY_MS + 1), pay('p', 0)])
    expect(outcomeOf(ledger, 'p')).toBe('too_old')
  })

  it('frees an id with all that hung on it', () => {
    const ledger = opened()
    ledger.apply([
      horizon('history_horizon', 400),
      horizon('id_horizon', 400),
      authorize('x', 0, 10),
      pay('y', 0),
    ])
    ledger.apply([about('reverse', 'back', 'y', 0), atDay(500)])
    ledger.apply([about('capture', 'forgotten', 'x', 500), pay('x', 500), pay('y', 500)])
    ledger.apply([about('capture', 'not authorized', 'x', 500), about('reverse', 'again', 'y', 500)])
    expect(['forgotten', 'x', 'y', 'not authorized', 'again'].map((id) => outcomeOf(ledger, id))).toEqual([
      'parent_unknown',
      'applied',
      'applied',
      'parent_not_authorized',
      'applied',
    ])
  })

  it.each([
    ['shorter than holds last', [horizon('history_horizon', 31), horizon('id_horizon', 399)]],
    ['shorter than what may be reversed', [horizon('history_horizon', 500), horizon('id_horizon', 499)]],
    ['without one for the history', [horizon('id_horizon', 500)]],
    [
      'and then none for the history',
      [
        horizon('history_horizon', 400),
        horizon('id_horizon', 400),
        horizon('history_horizon', 400, { enabled: false }),
      ],
    ],
    ['under another name', [horizon('history_horizon', 400, { ruleId: 'mine' })]],
    [
      'as a fraud rule under its name',
      [horizon('history_horizon', 0, { type: 'velocity_count', windowMs: 3_600_000 })],
    ],
    ['with a threshold', [horizon('history_horizon', 400, { threshold: 1n })]],
  ])('is refused %s', (_name, rules) => {
    const ledger = opened()
    ledger.apply(rules)
    expect(ledger.refusals).toEqual(['rule_invalid'])
  })
})

/** Deletes what upkeep may delete: posted parents beyond the history's horizon, ids before theirs with their holds. */
const deleteOutOfReach = (ledger: MemoryLedger): void => {
  const nowMs = ledger.time.nowMs
  const historyMs = historyFromMs(ledger.horizons, nowMs)
  const idsMs = idsFromMs(ledger.horizons, nowMs)
  for (const [key, takenMs] of ledger.parentsTakenAt) {
    if (historyMs !== null && takenMs < historyMs) ledger.parents.delete(key)
    if (idsMs === null || takenMs >= idsMs) continue
    ledger.parentsTakenAt.delete(key)
    ledger.claimed.delete(key)
    ledger.holds.delete(key)
  }
}

it('no decision depends on when what is out of reach is deleted, nor on where batches are cut', () => {
  const ids = fc.constantFrom('a', 'b', 'c', 'd')
  const step = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({
        what: fc.constant('pay' as const),
        id: ids,
        back: fc.integer({ min: 0, max: 500 }),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ what: fc.constantFrom('authorize' as const), id: ids, back: fc.constant(0) }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        what: fc.constantFrom('reverse' as const, 'capture' as const, 'void' as const),
        id: ids,
        back: fc.constant(0),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        what: fc.constant('time' as const),
        id: ids,
        back: fc.integer({ min: 1, max: 250 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        what: fc.constantFrom('history' as const, 'ids' as const, 'off' as const),
        id: ids,
        back: fc.integer({ min: 400, max: 600 }),
      }),
    },
  )
  const property = fc.property(
    fc.array(step, { minLength: 5, maxLength: 60 }),
    fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 6 }),
    (steps, cuts) => {
      const inputs: LedgerInput[] = [horizon('history_horizon', 60), horizon('id_horizon', 400)]
      let day = 0
      for (const [place, { what, id, back }] of steps.entries()) {
        if (what === 'time') day += back
        if (what === 'pay') inputs.push(pay(id, day - back))
        else if (what === 'authorize') inputs.push(authorize(id, day, day + 5))
        else if (what === 'time') inputs.push(atDay(day))
        else if (what === 'history') inputs.push(horizon('history_horizon', back))
        else if (what === 'ids') inputs.push(horizon('id_horizon', back))
        else if (what === 'off') inputs.push(horizon('id_horizon', back, { enabled: false }))
        else inputs.push(about(what, `${what}-${place}`, id, day))
      }
      const kept = opened()
      kept.apply(inputs)
      const deleted = opened()
      let left: readonly LedgerInput[] = inputs
      for (let cut = 0; left.length > 0; cut += 1) {
        deleteOutOfReach(deleted)
        const { consumed } = deleted.decide(left.slice(0, cuts[cut % cuts.length]))
        left = left.slice(consumed)
      }
      const told = (ledger: MemoryLedger) =>
        ledger.decisions.map((d) => [d.command.id, d.status, d.reason, d.postings.length])
      expect(told(deleted)).toEqual(told(kept))
      expect(deleted.refusals).toEqual(kept.refusals)
      const balances = (ledger: MemoryLedger) =>
        [...ledger.accounts.values()].map((a) => [a.id, a.posted, a.reserved])
      expect(balances(deleted)).toEqual(balances(kept))
    },
  )
  fc.assert(property, { numRuns: 400, seed: 7 })
})

it('an id is forgotten a margin after what may claim to have occurred', () => {
  expect(idsFromMs(NO_HORIZONS, START_MS)).toBeNull()
  const horizons = { history: null, ids: { lengthMs: 400 * DAY_MS, fromMs: null } }
  expect(idsFromMs(horizons, START_MS)).toBe(START_MS - 400 * DAY_MS - ID_MARGIN_MS)
})
