/** Where an audit gets batch records from: the ledger's tables, the archive, or both as one. */
import type { StoredHeader } from './replay/header.ts'

export interface BatchSource {
  /** Records without their payloads, in sequence, after < sequence ≤ through, in chunks of bounded size, none of them empty. */
  headers(after: bigint, through: bigint): AsyncIterable<readonly StoredHeader[]>
  /** The frames of a batch, uncompressed, as stored; null where there are none. @throws OperatingError `batch_damaged` where they can't be unpacked */
  payload(sequence: bigint): Promise<Buffer | null>
}
