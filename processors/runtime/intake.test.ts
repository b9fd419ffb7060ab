/** A partition whose schema can't be had waits alone, and goes on by itself once the registry answers. */
import { beforeEach, describe, expect, test } from 'vitest'
import { transaction } from '#domain/ledger/testing/memory-ledger.ts'
import { OperatingError, UnreachableError } from '#platform/errors.ts'
import type { IngestChunk } from '#platform/kafka/partition-inbox.ts'
import { Intake, type IntakeLimits } from './intake.ts'

const LIMITS: IntakeLimits = { recordsMax: 10, bytesMax: 1_000, waitMs: 200, except: new Set() }

/** A clock that goes on only where a test says so; whoever waits is woken then. */
class ManualClock {
  nowMs = 0
  #timers: { atMs: number; run: () => void }[] = []
  wallMs = () => this.nowMs
  monotonicMs = () => this.nowMs
  after = (ms: number, run: () => void) => {
    const timer = { atMs: this.nowMs + ms, run }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((each) => each !== timer)
    }
  }
  advance(ms: number): void {
    this.nowMs += ms
    const due = this.#timers.filter(({ atMs }) => atMs <= this.nowMs)
    this.#timers = this.#timers.filter(({ atMs }) => atMs > this.nowMs)
    for (const { run } of due) run()
  }
}

let clock: ManualClock
/** By partition: what the registry answers now. */
let answers: Map<number, () => Promise<void>>
let asked: number[]
let warnings: object[]
let takes: IntakeLimits[]
let offsets: Map<number, bigint>

const nextChunk = (partition: number): IngestChunk => {
  const offset = offsets.get(partition) ?? 0n
  offsets.set(partition, offset + 1n)
  const place = { topic: 'p.transactions', partition, fetchedOffset: offset, nextOffset: offset + 1n }
  return { ...place, highWatermark: 100n, records: [], bytes: 1 }
}

/** A reader with something of partitions 0 and 1 at any time. */
const reader = {
  start: async () => undefined,
  stop: async () => undefined,
  take: async (limits: IntakeLimits) => {
    takes.push(limits)
    return [0, 1].filter((p) => limits.except?.has(`p.transactions:${p}`) !== true).map(nextChunk)
  },
}

const makeIntake = (): Intake =>
  new Intake({
    isReady: ({ partition }) => !answers.has(partition),
    prepare: async ({ partition }) => {
      asked.push(partition)
      await answers.get(partition)?.()
    },
    decode: async ({ fetchedOffset: offset }) => [{ ...transaction({}), offset }],
    clock,
    logger: { info: () => undefined, warn: (fields) => warnings.push(fields), error: () => undefined },
  })

/** What one round reads and decodes: 'partition:offset'. */
const round = async (intake: Intake): Promise<string[]> => {
  await intake.read(reader, LIMITS)
  const decoded: string[] = []
  for (let next = await intake.next(); next !== null; next = await intake.next()) {
    decoded.push(`${next.chunk.partition}:${next.inputs[0]?.offset}`)
  }
  return decoded
}

const away = async (): Promise<void> => {
  throw new UnreachableError('registry', 'away')
}

beforeEach(() => {
  clock = new ManualClock()
  answers = new Map()
  asked = []
  warnings = []
  takes = []
  offsets = new Map()
})

describe('intake', () => {
  test('while the registry is away, the other partitions go on', async () => {
    const intake = makeIntake()
    answers.set(0, away)
    expect(await round(intake)).toEqual(['1:0'])
    expect(await round(intake)).toEqual(['1:1'])
    expect(intake.waitingForSchema).toBe(1)
    expect(intake.isFailing).toBe(true)
    // Nothing more of the waiting one is taken, and nobody waits long for the others.
    expect(takes[1]?.except).toEqual(new Set(['p.transactions:0']))
    expect(takes[1]?.waitMs).toBe(50)
    expect(warnings).toEqual([
      { code: 'registry_unreachable', topic: 'p.transactions', partition: 0, offset: '0', failures: 1 },
    ])
  })

  test('it is asked again, more slowly each time, and the partition goes on where it stopped', async () => {
    const intake = makeIntake()
    answers.set(0, away)
    await round(intake)
    for (let step = 0; step < 100; step += 1) {
      clock.advance(100)
      await round(intake)
    }
    // At 0, 100, 300, 700, 1500, 3100, then every 2 s.
    expect(asked).toHaveLength(9)
    answers.set(0, async () => undefined)
    clock.advance(2_000)
    // The question is on its way while this round goes on.
    const decoded = [...(await round(intake)), ...(await round(intake))]
    expect(decoded).toContain('0:0')
    expect(intake.waitingForSchema).toBe(0)
    expect(intake.isFailing).toBe(false)
    answers.delete(0)
    expect(await round(intake)).toContain('0:1')
  })

  test('a schema that the registry tells at once is decoded in the same round', async () => {
    const intake = makeIntake()
    answers.set(0, async () => undefined)
    expect(await round(intake)).toEqual(['1:0', '0:0'])
  })

  test('a registry that is silent is waited for 50 ms, once', async () => {
    const intake = makeIntake()
    let answer = (): void => undefined
    answers.set(0, () => new Promise((resolve) => (answer = resolve)))
    const first = round(intake)
    await expect.poll(() => asked).toEqual([0])
    clock.advance(50)
    expect(await first).toEqual(['1:0'])
    expect(await round(intake)).toEqual(['1:1'])
    // It isn't asked twice for the same chunk.
    expect(asked).toEqual([0])
    answer()
    await Promise.resolve()
    expect(await round(intake)).toEqual(['1:2', '0:0'])
  })

  test('what is wrong for good is thrown', async () => {
    const intake = makeIntake()
    answers.set(0, async () => {
      throw new OperatingError('odd', 'not the registry')
    })
    await expect(round(intake)).rejects.toThrow('not the registry')
  })

  test('another assignment while it waits: nothing of the old one comes out', async () => {
    const intake = makeIntake()
    answers.set(0, () => new Promise(() => undefined))
    const reading = round(intake)
    await expect.poll(() => asked).toEqual([0])
    intake.clear()
    clock.advance(50)
    expect(await reading).toEqual([])
    expect(intake.waitingForSchema).toBe(0)
  })

  test('what the reader gives after partitions came while it waited is of the new assignment', async () => {
    const intake = makeIntake()
    answers.set(0, async () => undefined)
    const slow = {
      ...reader,
      take: async (limits: IntakeLimits) => {
        intake.clear()
        return await reader.take(limits)
      },
    }
    await intake.read(slow, LIMITS)
    expect((await intake.next())?.chunk.partition).toBe(1)
    expect((await intake.next())?.chunk.partition).toBe(0)
  })

  test('one partition that is taken anew is dropped alone', async () => {
    const intake = makeIntake()
    answers.set(0, away)
    await round(intake)
    intake.drop('p.transactions:0')
    answers.delete(0)
    expect(await round(intake)).toEqual(['0:1', '1:1'])
  })
})
