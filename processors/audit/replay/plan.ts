/** What a replay will read: the stretch of batches, and of every ingest partition the stretch that they read. */
import { OperatingError } from '#platform/errors.ts'
import type { BatchSource } from '../batch-source.ts'
import { batchAlone } from '../../runtime/batch-span.ts'
import type { RecordRange } from '../record-source.ts'
import { rangeName } from './assembler.ts'
import type { Positions } from './ledger-memory.ts'

export interface ReplayPlan {
  /** Batches with after < sequence ≤ through. */
  readonly after: bigint
  readonly through: bigint
  /** A partition has several where its position was set anew, in the order in which they are read. */
  readonly ranges: readonly RecordRange[]
  readonly batches: number
  /** Records and skipped stretches. */
  readonly inputs: number
}

/** Walks over all headers of the stretch. @throws OperatingError `batches_gone` where the first one isn't there */
export const planReplay = async (
  batches: BatchSource,
  after: bigint,
  through: bigint,
): Promise<ReplayPlan> => {
  const ranges: RecordRange[] = []
  /** By name, the place of the range that is read now; none behind a jump. */
  const current = new Map<string, number>()
  let count = 0
  let inputs = 0
  for await (const chunk of batches.headers(after, through)) {
    if (count === 0 && chunk[0]!.sequence !== after + 1n) {
      const message = `expected batch ${after + 1n}, the first that is kept is ${chunk[0]!.sequence}`
      throw new OperatingError('batches_gone', message)
    }
    for (const { header, sequence } of chunk) {
      count += 1
      for (const [, size] of header.order) inputs += size
      const { cluster } = header
      for (const { topic, partition } of header.jumps ?? [])
        current.delete(rangeName({ cluster, topic, partition }))
      for (const { topic, partition, from, next } of header.sources) {
        const range = {
          cluster,
          topic,
          partition,
          from: BigInt(from),
          next: BigInt(next),
          batches: batchAlone(sequence),
        }
        const place = current.get(rangeName(range))
        if (place !== undefined) ranges[place] = joined(ranges[place]!, range)
        else current.set(rangeName(range), ranges.push(range) - 1)
      }
    }
  }
  return { after, through, ranges, batches: count, inputs }
}

const joined = (range: RecordRange, more: RecordRange): RecordRange => ({
  ...range,
  next: more.next,
  batches: { first: range.batches.first, last: more.batches.last },
})

/** Sets the positions that partitions began at, where a replay begins at the ledger's beginning. */
export const startPositions = (plan: ReplayPlan, positionsOf: (cluster: string) => Positions): void => {
  for (const { cluster, topic, partition, from } of plan.ranges) {
    const name = `${topic}:${partition}`
    const positions = positionsOf(cluster)
    if (!positions.has(name)) positions.set(name, from)
  }
}
