/** Reads what one batch put out: its frames, uncompressed. */
import { promisify } from 'node:util'
import { zstdDecompress } from 'node:zlib'
import type { ReadPool } from '#platform/postgres/pool.ts'

/** A payload that claims to be larger than this when unpacked isn't unpacked for a request. */
const PAYLOAD_BYTES_MAX = 64 * 1024 * 1024

const decompress = promisify(zstdDecompress)
const TEXT = 'select payload from batches where sequence = $1'

/**
 * The frames of a batch (format: domain/ledger/batch-record.ts), or undefined where it isn't kept any more.
 * @throws Error where the payload is damaged or too large.
 */
export async function readBatchPayload(pool: ReadPool, sequence: bigint): Promise<Buffer | undefined> {
  const [row] = await pool.query<{ payload: Buffer }>({ name: 'read-batch-payload', text: TEXT }, [sequence])
  return row === undefined ? undefined : await decompress(row.payload, { maxOutputLength: PAYLOAD_BYTES_MAX })
}
