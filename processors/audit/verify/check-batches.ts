/** The chain of batch records by itself: every hash made anew, every field of a row held against its header, no sequence missing. */
import { zstdDecompressSync } from 'node:zlib'
import { BATCH_FORMAT, type BatchHeader, batchHash } from '#domain/ledger/batch-record.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { type BatchRow, type HeadRow, readBatchRows } from '#platform/postgres/queries/audit-sums.ts'
import { parseHeader } from '../replay/header.ts'
import type { Findings } from './findings.ts'

const BATCHES_AT_ONCE = 16
const PAYLOAD_BYTES_MAX = 512 * 1024 * 1024

export interface BatchesChecked {
  /** The last batch before the first that is missing, or whose header can't be read: what follows can't be decided again. */
  readonly derivable: bigint
  /** Batches that aren't what was hashed, with what their hash may have been: the one they have, and what the next one continues. */
  readonly unsound: ReadonlyMap<bigint, readonly Buffer[]>
}

/**
 * Checks all that are kept.
 * @param start the last batch that isn't kept (0 and the genesis' hash where all are); its hash null where it isn't known
 */
export const checkBatches = async (
  pool: ReadPool,
  head: HeadRow,
  start: { readonly sequence: bigint; readonly hash: Buffer | null },
  findings: Findings,
): Promise<BatchesChecked> => {
  let before = start
  let derivable = head.sequence
  const unsound = new Map<bigint, Buffer[]>()
  const endsBefore = (sequence: bigint) => {
    if (sequence <= derivable) derivable = sequence - 1n
  }
  for (let after = start.sequence === 0n ? null : start.sequence; ; ) {
    const rows: BatchRow[] = await readBatchRows(pool, after, BATCHES_AT_ONCE)
    for (const row of rows) {
      if (row.sequence <= 0n || row.sequence > head.sequence) {
        findings.add('batches', String(row.sequence), 'added')
        continue
      }
      unsound.get(row.sequence - 1n)?.push(row.previous_hash)
      if (addGap(before.sequence, row.sequence, findings)) endsBefore(before.sequence + 1n)
      else if (before.hash !== null && !before.hash.equals(row.previous_hash)) {
        findings.add('batches', String(row.sequence), 'chain')
      }
      if (!isSound(row)) {
        findings.add('batches', String(row.sequence), 'changed')
        unsound.set(row.sequence, [row.hash])
        if (!isReadable(row)) endsBefore(row.sequence)
      }
      before = { sequence: row.sequence, hash: row.hash }
    }
    if (rows.length < BATCHES_AT_ONCE) break
    after = rows.at(-1)!.sequence
  }
  unsound.get(head.sequence)?.push(head.hash)
  if (addGap(before.sequence, head.sequence + 1n, findings)) endsBefore(before.sequence + 1n)
  else if (before.hash !== null && !before.hash.equals(head.hash)) {
    findings.add('ledger_head', String(head.sequence), 'chain')
  }
  return { derivable, unsound }
}

/** Names the whole stretch of missing sequences between two, however long it is. @returns whether there is one */
const addGap = (before: bigint, next: bigint, findings: Findings): boolean => {
  const [first, last] = [before + 1n, next - 1n]
  if (first > last) return false
  findings.add('batches', first === last ? String(first) : `${first}-${last}`, 'gap')
  return true
}

/** The payload; null where bytes stand behind it, which unpacking alone would pass over. */
const unpacked = (packed: Buffer): Buffer | null => {
  const { buffer, engine } = zstdDecompressSync(packed, {
    maxOutputLength: PAYLOAD_BYTES_MAX,
    info: true,
  }) as unknown as { buffer: Buffer; engine: { bytesWritten: number } }
  return engine.bytesWritten === packed.length ? buffer : null
}

const isReadable = (row: BatchRow): boolean => {
  try {
    return parseHeader(row.sequence, row.header).sequence === String(row.sequence)
  } catch {
    return false
  }
}

const isSound = (row: BatchRow): boolean => {
  try {
    const payload = unpacked(row.payload)
    if (payload === null || !batchHash(row.previous_hash, row.header, payload).equals(row.hash)) return false
    const header = JSON.parse(row.header.toString('utf8')) as BatchHeader
    const records = header.order.reduce((sum, [, count]) => sum + count, 0)
    return (
      header.sequence === String(row.sequence) &&
      header.format === row.format &&
      row.format === BATCH_FORMAT &&
      records === row.records &&
      BigInt(header.tick) * 1_000n === row.recorded_us
    )
  } catch {
    // Bytes that can't be unpacked or read aren't what was written either.
    return false
  }
}
