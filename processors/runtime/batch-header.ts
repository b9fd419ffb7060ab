/** The header of a batch record: which inputs were decided, in which order, under which versions. Pure: a replay makes the same. */
import { BATCH_FORMAT, type BatchHeader } from '#domain/ledger/batch-record.ts'
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import type { BatchEffects, LedgerState } from '#domain/ledger/state.ts'
import { CANONICAL_VERSION } from '#domain/transactions/canonical.ts'
import type {
  ClaimedPartition,
  PartitionProgress,
  PositionJump,
} from '#platform/postgres/ledger-store/store.ts'

/** Inputs of one partition, in order, as selected for a batch. */
export interface PartitionInputs {
  readonly claim: ClaimedPartition
  /** Where the first of them was read from. */
  readonly from: bigint
  readonly inputs: readonly LedgerInput[]
  /** By place in `inputs`: SHA-256 of the record, and its time; null for skipped stretches. */
  readonly lastRecord: (count: number) => PartitionProgress['last']
}

/** What a header is made of. */
export interface HeaderParts {
  readonly ledger: string
  readonly cluster: string
  readonly logic: number
  /** Registry ids of the outputs' schemas, by place in FRAME_TOPICS. */
  readonly schemas: readonly number[]
  readonly selection: readonly PartitionInputs[]
  readonly progress: readonly PartitionProgress[]
  readonly state: LedgerState
  readonly effects: BatchEffects
  readonly jumps: readonly PositionJump[]
}

/** The header of a decided batch. */
export const headerOf = ({
  ledger,
  cluster,
  logic,
  schemas,
  selection,
  progress,
  state,
  effects,
  jumps,
}: HeaderParts): BatchHeader => {
  const outcomes: Record<string, number> = {}
  for (const { status } of effects.decisions) outcomes[status] = (outcomes[status] ?? 0) + 1
  const places = new Map(progress.map((p, place) => [p.claim, place]))
  const order: [number, number][] = []
  const skips: [number, string][] = []
  let left = effects.consumed
  for (const part of selection) {
    const count = Math.min(left, part.inputs.length)
    if (count === 0) break
    left -= count
    const place = places.get(part.claim)!
    order.push([place, count])
    for (let at = 0; at < count; at += 1) {
      const input = part.inputs[at]!
      if (input.type === 'advance') skips.push([place, String(input.offset)])
    }
  }
  return {
    format: BATCH_FORMAT,
    ledger,
    cluster,
    sequence: String(state.sequence),
    tick: state.time.nowMs,
    logic,
    rules: String(state.rulesVersion),
    canonical: CANONICAL_VERSION,
    schemas,
    sources: progress.map((p) => ({
      topic: p.claim.topic,
      partition: p.claim.partition,
      from: String(p.from),
      next: String(p.next),
      epoch: String(p.claim.epoch),
    })),
    order,
    skips,
    outcomes,
    ...(jumps.length === 0 ? {} : { jumps: jumps.map(jumpOf) }),
  }
}

const jumpOf = ({ topic, partition, from, to }: PositionJump) => ({
  topic,
  partition,
  from: from === null ? null : String(from),
  to: String(to),
})

/** How far each partition got: a partition may stand in the selection more than once. */
export const progressOf = (selection: readonly PartitionInputs[], consumed: number): PartitionProgress[] => {
  const byClaim = new Map<ClaimedPartition, PartitionProgress>()
  let left = consumed
  for (const part of selection) {
    const count = Math.min(left, part.inputs.length)
    if (count === 0) break
    left -= count
    const before = byClaim.get(part.claim)
    byClaim.set(part.claim, {
      claim: part.claim,
      from: before?.from ?? part.from,
      next: part.inputs[count - 1]!.offset + 1n,
      last: part.lastRecord(count) ?? before?.last ?? null,
    })
  }
  return [...byClaim.values()]
}
