/** The generator: the same seed gives the same bytes, every case has its share, and the model agrees with what each case means to get. */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BAD_CASES } from './bad-cases.ts'
import { timeOfDayAt, Zipf } from './distributions.ts'
import { generateMix } from './generator.ts'
import { GOOD_CASES } from './good-cases.ts'
import { LedgerModel } from './model.ts'
import { Random } from './random.ts'
import type { GeneratedRecord } from './records.ts'
import type { RunOptions, RunPlan } from './run.ts'
import { planRun } from './run-plan.ts'

const END_TIME_MS = Date.UTC(2026, 0, 15, 12)
const options = (changes: Partial<RunOptions> = {}): RunOptions => ({
  run: 't1',
  seed: 7,
  transactions: 6_000,
  accounts: 400,
  endTimeMs: END_TIME_MS,
  mix: 'default',
  ...changes,
})

const textOf = (value: unknown): string =>
  JSON.stringify(value, (_key, part: unknown) => (typeof part === 'bigint' ? `${part}n` : part))

const digestOf = (records: Iterable<unknown>): string => {
  const digest = createHash('sha256')
  for (const record of records) digest.update(textOf(record))
  return digest.digest('hex')
}

describe('random numbers', () => {
  test('are the same for the same seed; both halves of a seed count', () => {
    const first = Array.from(
      { length: 4 },
      (
        (random) => () =>
          random.uint32()
      )(new Random(1)),
    )
    expect(first).toEqual(
      Array.from(
        { length: 4 },
        (
          (random) => () =>
            random.uint32()
        )(new Random(1)),
      ),
    )
    expect(first).not.toEqual(
      Array.from(
        { length: 4 },
        (
          (random) => () =>
            random.uint32()
        )(new Random(2)),
      ),
    )
    expect(new Random(1).uint32()).not.toBe(new Random(1 + 2 ** 32).uint32())
  })

  test('are spread evenly, and normal ones have mean 0 and deviation 1', () => {
    const random = new Random(5)
    const buckets = new Array(16).fill(0)
    for (let count = 0; count < 160_000; count += 1) buckets[random.integer(0, 15)] += 1
    for (const bucket of buckets) expect(Math.abs(bucket - 10_000)).toBeLessThan(500)
    const normals = Array.from({ length: 50_000 }, () => random.normal())
    const mean = normals.reduce((sum, each) => sum + each, 0) / normals.length
    const variance = normals.reduce((sum, each) => sum + (each - mean) ** 2, 0) / normals.length
    expect(Math.abs(mean)).toBeLessThan(0.02)
    expect(Math.abs(variance - 1)).toBeLessThan(0.03)
  })

  test('Zipf prefers the first ranks', () => {
    const zipf = new Zipf(1_000, 1)
    const random = new Random(3)
    const counts = new Array(1_000).fill(0)
    for (let count = 0; count < 100_000; count += 1) counts[zipf.draw(random)] += 1
    expect(counts[0] / counts[9]).toBeGreaterThan(7)
    expect(counts[0] / counts[9]).toBeLessThan(14)
  })

  test('the day has a rhythm: less before six in the morning than in one hour at noon', () => {
    let night = 0
    let noon = 0
    for (let share = 0; share < 1; share += 0.001) {
      const hour = timeOfDayAt(share) / 3_600_000
      if (hour < 6) night += 1
      if (hour >= 12 && hour < 13) noon += 1
    }
    expect(night).toBeLessThan(noon)
    expect(timeOfDayAt(0)).toBe(0)
  })
})

describe('a run', () => {
  test('is the same for the same seed and another for another one', () => {
    expect(digestOf(generateMix(options()).records)).toBe(digestOf(generateMix(options()).records))
    expect(digestOf(generateMix(options()).records)).not.toBe(
      digestOf(generateMix(options({ seed: 8 })).records),
    )
    const plan = planRun(options())
    expect(digestOf(plan.records())).toBe(digestOf(generateMix(options()).records))
    expect(textOf(plan)).toBe(textOf(planRun(options())))
  })

  test('has exactly as many records as asked for', () => {
    for (const transactions of [1, 999, 2_500]) {
      expect([...generateMix(options({ transactions })).records]).toHaveLength(transactions)
    }
  })

  test('gives each case at least 0.1 % of the records', () => {
    const plan = planRun(options({ transactions: 20_000 }))
    for (const name of [...Object.keys(BAD_CASES), ...Object.keys(GOOD_CASES)]) {
      expect(plan.expectation.cases[name], name).toBeGreaterThanOrEqual(20)
    }
    const outcomes = Object.keys(plan.expectation.outcomes)
    expect(outcomes).toEqual(expect.arrayContaining(['applied', 'authorized', 'voided', 'held', 'duplicate']))
    expect(outcomes.filter((name) => name.startsWith('dead:')).length).toBeGreaterThanOrEqual(8)
  })

  test('expects sums of zero in every currency, and no limited account below zero', () => {
    for (const mix of ['default', 'plain'] as const) {
      const { accounts } = planRun(options({ mix })).expectation
      const sums = new Map<string, bigint>()
      for (const [id, { currency, posted, reserved }] of Object.entries(accounts)) {
        sums.set(currency, (sums.get(currency) ?? 0n) + posted)
        if (/^(cust|plain|merchant|burst|empty):/.test(id))
          expect(posted - reserved, id).toBeGreaterThanOrEqual(0n)
      }
      for (const [currency, sum] of sums) expect(sum, currency).toBe(0n)
    }
  })

  test('refuses numbers out of range', () => {
    expect(() => planRun(options({ accounts: 1 }))).toThrow(/accounts: expected .* found 1/)
    expect(() => planRun(options({ run: 'A b' }))).toThrow(/run: expected/)
  })
})

/** Decides the records as the model does, in a given order. */
const decide = (plan: RunPlan, records: Iterable<GeneratedRecord>): [string[], string] => {
  const model = new LedgerModel(END_TIME_MS)
  for (const change of plan.accounts) model.account(change)
  for (const command of plan.funding) expect(model.transaction(command)).toBe('applied')
  for (const change of plan.cards) model.card(change)
  for (const change of plan.rules) model.rule(change)
  const wrong: string[] = []
  for (const { command, malformation, intended, caseName } of records) {
    const outcome = malformation === null ? model.transaction(command) : `dead:${malformation}`
    if (outcome !== intended) wrong.push(`${caseName} ${command.id}: meant ${intended}, is ${outcome}`)
  }
  return [wrong, textOf([...model.balances()])]
}

describe('the model', () => {
  test('agrees with what every case means to get', () => {
    const plan = planRun(options({ transactions: 20_000 }))
    expect(decide(plan, plan.records())[0]).toEqual([])
  })

  test('gives the same outcomes and balances for every interleaving of partitions', () => {
    const plan = planRun(options({ transactions: 4_000 }))
    const records = [...plan.records()]
    const inOrder = decide(plan, records)
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.integer(), (partitions, seed) => {
        const queues: GeneratedRecord[][] = Array.from({ length: partitions }, () => [])
        for (const record of records) {
          const digest = createHash('md5').update(record.key).digest()
          queues[digest.readUInt32BE() % partitions]!.push(record)
        }
        expect(decide(plan, interleaved(queues, new Random(Math.abs(seed))))).toEqual(inOrder)
      }),
      { numRuns: 10 },
    )
  })
})

/** Takes runs of records from the queues in a random order; each queue keeps its own order. */
function* interleaved(queues: GeneratedRecord[][], random: Random): Generator<GeneratedRecord> {
  const places = queues.map(() => 0)
  for (;;) {
    const open = queues.flatMap((queue, index) => (places[index]! < queue.length ? [index] : []))
    if (open.length === 0) return
    const index = random.pick(open)
    for (let count = random.integer(1, 400); count > 0; count -= 1) {
      const record = queues[index]![places[index]!]
      if (record === undefined) break
      places[index]! += 1
      yield record
    }
  }
}
