/** What was read and decoded but not yet decided, and choosing the next batch from it. */
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import type { Position } from '#domain/transactions/command.ts'
import type { ClaimedPartition, PartitionProgress } from '#platform/postgres/ledger-store/store.ts'
import type { PartitionInputs } from './batch-header.ts'

/** Decoded records of one partition that follow each other without a gap. */
export interface DecodedChunk {
  readonly claim: ClaimedPartition
  /** Where the first input was read from. */
  from: bigint
  inputs: LedgerInput[]
  /** Of all its records as they were read: they are kept until the last of them is decided. */
  readonly bytes: number
  /** What to keep of a record, by place; null for skipped stretches. Computed only for a batch's last one. */
  records: (() => PartitionProgress['last'])[]
}

/**
 * How long a partition waits for a record that one of its own names in `after`, ms; then it goes on without, and so do those
 * behind it that are here already: otherwise each record that names what never comes would stop the partition as long.
 */
const AFTER_WAIT_MAX_MS = 10_000

/** A wait that ended without what it was for; topics without the ledger's prefix. */
export interface TimedOutWait {
  readonly topic: string
  readonly partition: number
  /** Of the record that waited. */
  readonly offset: bigint
  /** The record that isn't applied yet. */
  readonly after: Position
}

interface Wait {
  readonly sinceMs: number
  /** Once it is over and told: the last offset that was here then. What comes behind waits for itself. */
  goneWithoutTo: bigint | null
}

/** Chunks in the order of their arrival. A partition's chunks keep their order; one that waits holds back its later ones. */
export class Backlog {
  private chunks: DecodedChunk[] = []
  private waits = new Map<ClaimedPartition, Wait>()
  private readonly onTimedOut: (wait: TimedOutWait) => void

  /** @param onTimedOut told once a wait, not for each record that goes without in its wake */
  constructor(onTimedOut: (wait: TimedOutWait) => void = () => undefined) {
    this.onTimedOut = onTimedOut
  }

  get inputs(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.inputs.length, 0)
  }

  get bytes(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.bytes, 0)
  }

  /** The partitions that wait for a record of another one. @param nowMs as in `select` */
  waiting(nowMs: number): ClaimedPartition[] {
    return [...this.waits].flatMap(([claim, wait]) => (isPatient(wait, nowMs) ? [claim] : []))
  }

  add(chunk: DecodedChunk): void {
    if (chunk.inputs.length > 0) this.chunks.push(chunk)
  }

  /** Drops all of it: the partitions are somebody else's now. */
  clear(): void {
    this.chunks = []
    this.waits.clear()
  }

  /** Drops what is there of one claim: the partition is taken anew. */
  drop(claim: ClaimedPartition): void {
    this.chunks = this.chunks.filter((chunk) => chunk.claim !== claim)
    this.waits.delete(claim)
  }

  /**
   * The next inputs, at most `recordsMax`.
   * @param positions 'topic:partition' → next offset, as last known of the ledger
   * @param nowMs monotonic: how long has been waited is measured by it
   */
  select(recordsMax: number, positions: ReadonlyMap<string, bigint>, nowMs: number): PartitionInputs[] {
    const selected: PartitionInputs[] = []
    const heldBack = new Set<ClaimedPartition>()
    const reached = new Map(positions)
    let left = recordsMax
    for (const chunk of this.chunks) {
      if (left === 0) break
      if (heldBack.has(chunk.claim)) continue
      const ready = this.readyCount(chunk, Math.min(left, chunk.inputs.length), reached, nowMs)
      if (ready < chunk.inputs.length) heldBack.add(chunk.claim)
      if (ready === 0) continue
      left -= ready
      selected.push({
        claim: chunk.claim,
        from: chunk.from,
        inputs: ready === chunk.inputs.length ? chunk.inputs : chunk.inputs.slice(0, ready),
        lastRecord: (count) => lastOf(chunk, count),
      })
    }
    return selected
  }

  /** Takes what was decided out: the first `consumed` inputs of a selection. @returns it, for `putBack` */
  take(selection: readonly PartitionInputs[], consumed: number): DecodedChunk[] {
    const taken: DecodedChunk[] = []
    let left = consumed
    for (const part of selection) {
      if (left === 0) break
      const count = Math.min(left, part.inputs.length)
      left -= count
      // One that is used up ends where the next one begins.
      const chunk = this.chunks.find(
        (c) => c.claim === part.claim && c.from === part.from && c.inputs.length > 0,
      )
      if (chunk === undefined) throw new Error('a decided chunk is no longer in the backlog')
      const { claim, from, inputs, records } = chunk
      const isWhole = count === inputs.length
      const bytes = isWhole ? chunk.bytes : 0
      taken.push({ claim, from, inputs: inputs.slice(0, count), bytes, records: records.slice(0, count) })
      chunk.from = part.inputs[count - 1]!.offset + 1n
      chunk.inputs = inputs.slice(count)
      chunk.records = records.slice(count)
    }
    this.chunks = this.chunks.filter((chunk) => chunk.inputs.length > 0)
    for (const claim of this.waits.keys()) {
      if (!this.chunks.some((chunk) => chunk.claim === claim)) this.waits.delete(claim)
    }
    return taken
  }

  /** Puts what was taken back to the front, in its order: it wasn't applied. */
  putBack(taken: readonly DecodedChunk[]): void {
    this.chunks = [...taken, ...this.chunks]
  }

  /** How many inputs of the chunk may go now: up to one that waits for a record that isn't applied yet. */
  private readyCount(chunk: DecodedChunk, max: number, reached: Map<string, bigint>, nowMs: number): number {
    const own = `${chunk.claim.topic}:${chunk.claim.partition}`
    for (let at = 0; at < max; at += 1) {
      const input = chunk.inputs[at]!
      const after = input.type === 'transaction' ? input.command.after : null
      if (after !== null) {
        const wait = this.waitOf(chunk.claim, input.offset, nowMs)
        if ((reached.get(`${after.topic}:${after.partition}`) ?? 0n) <= after.offset) {
          this.waits.set(chunk.claim, wait)
          if (isPatient(wait, nowMs)) return at
          this.tell(wait, chunk.claim, { offset: input.offset, after })
        } else if (isPatient(wait, nowMs)) this.waits.delete(chunk.claim)
      }
      reached.set(own, input.offset + 1n)
    }
    return max
  }

  /** The wait that a partition's record is in, or the one that it would begin. */
  private waitOf(claim: ClaimedPartition, offset: bigint, nowMs: number): Wait {
    const wait = this.waits.get(claim)
    const isOver = wait !== undefined && wait.goneWithoutTo !== null && offset > wait.goneWithoutTo
    return wait === undefined || isOver ? { sinceMs: nowMs, goneWithoutTo: null } : wait
  }

  private tell(wait: Wait, claim: ClaimedPartition, record: { offset: bigint; after: Position }): void {
    if (wait.goneWithoutTo !== null) return
    const last = this.chunks.findLast((chunk) => chunk.claim === claim)
    wait.goneWithoutTo = last!.inputs.at(-1)!.offset
    const { topic, partition } = claim
    this.onTimedOut({ topic, partition, ...record })
  }
}

const isPatient = ({ sinceMs }: Wait, nowMs: number): boolean => nowMs - sinceMs < AFTER_WAIT_MAX_MS

const lastOf = (chunk: DecodedChunk, count: number): PartitionProgress['last'] => {
  for (let at = count - 1; at >= 0; at -= 1) {
    const last = chunk.records[at]!()
    if (last !== null) return last
  }
  return null
}
