/** Batch headers as stored: read, and rebuilt from a replay. */
import type { BatchHeader } from '#domain/ledger/batch-record.ts'
import type { BatchEffects, LedgerState } from '#domain/ledger/state.ts'
import { IncidentError } from '#platform/errors.ts'

/** A batch record without its payload. */
export interface StoredHeader {
  readonly sequence: bigint
  readonly previousHash: Buffer
  readonly hash: Buffer
  /** As it was hashed: JSON text. */
  readonly bytes: Buffer
  readonly header: BatchHeader
}

/** @throws IncidentError `batch_damaged` where the bytes aren't a header */
export const parseHeader = (sequence: bigint, bytes: Buffer): BatchHeader => {
  try {
    return JSON.parse(bytes.toString('utf8')) as BatchHeader
  } catch (error) {
    throw new IncidentError('batch_damaged', `the header of batch ${sequence} can't be read`, {
      cause: error,
    })
  }
}

/**
 * The header that deciding again gives. What only the first deciding could know (what was read when, by which owner, on which
 * cluster) is taken as it stands; what follows from the records is made anew. In the stored order of fields, so that equal
 * contents are equal bytes.
 */
export const rebuiltHeader = (
  stored: BatchHeader,
  state: LedgerState,
  effects: BatchEffects,
): BatchHeader => {
  const outcomes: Record<string, number> = {}
  for (const { status } of effects.decisions) outcomes[status] = (outcomes[status] ?? 0) + 1
  return {
    ...stored,
    sequence: String(state.sequence),
    tick: state.time.nowMs,
    rules: String(state.rulesVersion),
    outcomes,
  }
}
