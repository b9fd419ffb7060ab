/** Records of every hostile kind, many of each, at a real engine process: each has its fate, memory stays bounded, the engine goes on. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { testConfiguration } from '#infra/local/test-names.ts'
import { seededRandom } from '#loadtest/faults/seeded-random.ts'
import { HostileRun } from './hostile-run.ts'
import { type PoisonKind, poisonKinds } from './poison-kinds.ts'

const COPIES = 4
const PARTITIONS = 8
const SEED = 7_001
const APPLY_TIMEOUT_MS = 400_000
const FLOOD_RECORDS = 152
const FLOOD_RECORD_MIB = 2
/** What an engine needs for its buffers and the largest batch, whatever is sent: far below what is sent here. */
const MEMORY_GROWTH_MAX_MIB = 250

let run: HostileRun
let kinds: PoisonKind[]
beforeAll(async () => {
  run = await HostileRun.start(testConfiguration('hostile'))
  kinds = await poisonKinds(run.fixture)
})
afterAll(() => run?.close())

test('every record is applied, rejected or a dead letter with its reason, none twice', {
  timeout: 500_000,
}, async () => {
  const random = seededRandom(SEED)
  const expected: Record<string, number> = {}
  for (let copy = 0; copy < COPIES; copy += 1) {
    const records = kinds
      .map((kind) => ({ kind, order: random.fraction() }))
      .toSorted((a, b) => a.order - b.order)
      .map(({ kind }) => {
        expected[kind.becomes] = (expected[kind.becomes] ?? 0) + 1
        const partition = random.below(PARTITIONS)
        return { topic: 'transactions', key: null, partition, ...kind.make(copy) }
      })
    await run.fixture.publish(records)
  }
  await run.untilApplied(APPLY_TIMEOUT_MS)
  const { applied, rejected, duplicates, deadLetters, lost, twice, offsets } = await run.accountFor()
  expect({ lost, twice, duplicates }).toEqual({ lost: [], twice: [], duplicates: 0 })
  expect(offsets).toBe(kinds.length * COPIES)
  expect({ ...deadLetters, applied, rejected }).toEqual(expected)
  expect(run.engine.state).toBe('running')
  expect(await run.fixture.ledger.differences()).toEqual([])
})

test('a flood of large records passes through bounded memory', { timeout: 500_000 }, async () => {
  const before = await run.accountFor()
  const value = Buffer.alloc(FLOOD_RECORD_MIB * 1024 * 1024, 0x20)
  for (let sent = 0; sent < FLOOD_RECORDS; sent += PARTITIONS) {
    const partitions = Array.from({ length: PARTITIONS }, (_, partition) => partition)
    await run.fixture.publish(
      partitions.map((partition) => ({ topic: 'transactions', key: null, value, partition })),
    )
  }
  await run.untilApplied(APPLY_TIMEOUT_MS)
  const { lost, twice, deadLetters } = await run.accountFor()
  expect({ lost, twice }).toEqual({ lost: [], twice: [] })
  expect(deadLetters.too_large! - before.deadLetters.too_large!).toBe(FLOOD_RECORDS)
  const { baseMiB, peakMiB } = run.memory
  const sentMiB = FLOOD_RECORDS * FLOOD_RECORD_MIB
  process.stderr.write(`flood of ${sentMiB} MiB: the engine had ${baseMiB} MiB, and at most ${peakMiB} MiB\n`)
  expect(peakMiB - baseMiB).toBeLessThan(MEMORY_GROWTH_MAX_MIB)
  expect(MEMORY_GROWTH_MAX_MIB).toBeLessThan(sentMiB)
})
