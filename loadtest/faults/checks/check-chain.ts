/** Do batches chain from the genesis to the head without a gap, and did every one commit under the epoch of its partitions? */
import { createHash } from 'node:crypto'
import { zstdDecompressSync } from 'node:zlib'
import type { OffsetChange } from '../commit-log.ts'
import type { Findings } from '../findings.ts'
import type { StoredBatch, StoredHead } from './stored-ledger.ts'

interface Header {
  sources: { topic: string; partition: number; from: string; next: string; epoch: string }[]
}

/** A batch's reading of one partition. */
interface Advance {
  readonly name: string
  readonly from: bigint
  readonly next: bigint
  readonly epoch: bigint
}

/** Batches chain by number and hash from the genesis to the head, and read each partition from its start without a gap. */
export const checkChain = async (
  findings: Findings,
  options: {
    readonly genesisHash: Buffer
    readonly batches: AsyncIterable<StoredBatch>
    readonly head: StoredHead
    readonly positions: ReadonlyMap<string, bigint>
    /** What the offset rows went through; absent where nobody watched. */
    readonly changes?: readonly OffsetChange[]
    readonly onBatch?: (batch: StoredBatch) => void
  },
): Promise<void> => {
  let sequence = 0n
  let hash = options.genesisHash
  const advances = new Map<string, Advance[]>()
  for await (const batch of options.batches) {
    const name = `batch ${batch.sequence}`
    findings.same('batches follow each other', name, sequence + 1n, batch.sequence)
    findings.same('batches chain by hash', name, hash.toString('hex'), batch.previousHash.toString('hex'))
    findings.same('batches have their hash', name, hashOf(batch), batch.hash.toString('hex'))
    sequence = batch.sequence
    hash = batch.hash
    options.onBatch?.(batch)
    const header = JSON.parse(batch.header.toString('utf8')) as Header
    for (const source of header.sources) noteAdvance(findings, advances, name, source)
  }
  findings.same('the head is the last batch', 'sequence', sequence, options.head.sequence)
  findings.same('the head is the last batch', 'hash', hash.toString('hex'), options.head.hash.toString('hex'))
  for (const [place, next] of options.positions) {
    const end = advances.get(place)?.at(-1)?.next ?? 0n
    findings.same('positions are where the batches end', place, end, next)
  }
  if (options.changes !== undefined) checkChanges(findings, options.changes, advances)
}

const noteAdvance = (
  findings: Findings,
  advances: Map<string, Advance[]>,
  name: string,
  source: Header['sources'][number],
): void => {
  const place = `${source.topic}:${source.partition}`
  const list = advances.get(place) ?? []
  const [from, next] = [BigInt(source.from), BigInt(source.next)]
  findings.same('every partition is read without a gap', `${name}, ${place}`, list.at(-1)?.next ?? 0n, from)
  list.push({ name, from, next, epoch: BigInt(source.epoch) })
  advances.set(place, list)
}

/**
 * The rows' own history against the batches': offsets never go back, and what a batch says its epoch was is what the row's was when
 * it committed. A batch under an older epoch would show as another number, or as an advance that no batch accounts for.
 */
const checkChanges = (
  findings: Findings,
  changes: readonly OffsetChange[],
  advances: ReadonlyMap<string, readonly Advance[]>,
): void => {
  const last = new Map<string, OffsetChange>()
  const seen = new Map<string, number>()
  for (const change of changes) {
    const { place } = change
    const before = last.get(place)
    last.set(place, change)
    const isForward =
      change.next >= change.oldNext && (before === undefined || before.next === change.oldNext)
    findings.check(
      'offsets only go forward',
      isForward,
      () => `${place}: ${before?.next} ${change.oldNext} → ${change.next}`,
    )
    const isGrowing =
      change.epoch >= change.oldEpoch && (before === undefined || before.epoch === change.oldEpoch)
    findings.check('epochs only grow', isGrowing, () => `${place}: ${change.oldEpoch} → ${change.epoch}`)
    if (change.next === change.oldNext) continue
    const number = seen.get(place) ?? 0
    seen.set(place, number + 1)
    const advance = advances.get(place)?.[number]
    const expected = `${change.oldNext} to ${change.next} under ${change.oldEpoch}`
    const found = advance && `${advance.from} to ${advance.next} under ${advance.epoch}`
    findings.same('every batch commits under the epoch of its partitions', place, expected, found)
  }
  for (const [place, list] of advances) {
    const name = `commits of ${place}`
    findings.same('every batch commits under the epoch of its partitions', name, list.length, seen.get(place))
  }
}

/** SHA-256 of previous hash, length of the header (4 bytes, big-endian), header, payload uncompressed: batch record, format 1. */
const hashOf = ({ previousHash, header, payload }: StoredBatch): string => {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(header.length)
  return createHash('sha256')
    .update(Buffer.concat([previousHash, length, header, zstdDecompressSync(payload)]))
    .digest('hex')
}
