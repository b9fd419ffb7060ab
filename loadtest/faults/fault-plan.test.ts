/** A plan and a stream are functions of the seed. */
import { expect, test } from 'vitest'
import { CRASH_WINDOWS, describeFault, type Fault, planFaults, SCENARIOS } from './fault-plan.ts'
import { seededRandom } from './seeded-random.ts'
import { planAccounts, TransactionPlan } from './transactions.ts'

const nameOf = (fault: Fault): string => {
  if (fault.kind === 'crash window') return fault.window
  if (fault.kind === 'side ledger') return fault.scenario
  if (fault.kind === 'kill service') return fault.service
  return fault.kind === 'late Redis write' && fault.flush ? 'late Redis write after a flush' : fault.kind
}

test.each([1, 2, 3, 99])('twenty faults have every kind and every window among them (seed %i)', (seed) => {
  const names = planFaults(20, seededRandom(seed)).map(({ fault }) => nameOf(fault))
  expect([...names].sort()).toEqual(
    [
      ...CRASH_WINDOWS,
      ...SCENARIOS,
      ...['broker', 'postgres', 'redis', 'registry', 'kill', 'zombie', 'stop', 'cut', 'stall'],
      ...['zombie with the head', 'late Redis write', 'late Redis write after a flush'],
    ].sort(),
  )
})

test('the same seed plans the same, another one something else', () => {
  expect(planFaults(50, seededRandom(4))).toEqual(planFaults(50, seededRandom(4)))
  expect(planFaults(50, seededRandom(5))).not.toEqual(planFaults(50, seededRandom(4)))
})

test('of two hundred faults at least fifty leave an owner to be followed, and none is nameless', () => {
  const plan = planFaults(200, seededRandom(1))
  const hits = plan.filter(
    ({ fault }) =>
      ['kill', 'zombie', 'stop', 'zombie with the head'].includes(fault.kind) ||
      ('by' in fault && fault.by === 'kill'),
  )
  expect(hits.length).toBeGreaterThan(70)
  expect(plan.every(({ fault }) => describeFault(fault).length > 3)).toBe(true)
})

test('the stream follows from the seed, and has every case in it', () => {
  const records = (seed: number) => {
    const plan = new TransactionPlan(planAccounts(30), seededRandom(seed))
    return Array.from({ length: 12_000 }, () => plan.next())
  }
  expect(records(1)).toEqual(records(1))
  const sent = records(1).map((of) => of.filter((record) => record.topic === 'transactions'))
  const kinds = new Set(sent.flatMap((of) => of.map((r) => r.transaction?.kind ?? r.poison)))
  expect([...kinds].sort()).toEqual([
    'authorize',
    'capture',
    'cut short',
    'exchange',
    'post',
    'reverse',
    'unknown schema',
    'void',
  ])
  const changes = records(1).flatMap((of) => of.filter((record) => record.topic !== 'transactions'))
  const named = new Set(changes.map(({ topic, value }) => `${topic} ${value.action ?? value.decision}`))
  expect([...named].sort()).toEqual([
    ...['accounts freeze', 'accounts open', 'accounts set_limit', 'accounts unfreeze'],
    ...['reviews decline', 'reviews release', 'rules alert', 'rules hold', 'rules reject'],
  ])
  const twice = sent.filter((of) => of.length === 2)
  const conflicts = twice.filter(
    ([one, other]) => one!.transaction!.postings[0]?.amount !== other!.transaction!.postings[0]?.amount,
  )
  expect([twice.length > 50, conflicts.length > 5, conflicts.length < twice.length / 2]).toEqual([
    true,
    true,
    true,
  ])
})
