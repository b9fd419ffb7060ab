/** Batch records from the ledger's own tables. */
import type { ReadPool } from '#platform/postgres/pool.ts'
import { readBatchHeaders } from '#platform/postgres/queries/read-batch-headers.ts'
import { readBatchPayload } from '#platform/postgres/queries/read-batch-payload.ts'
import type { BatchSource } from './batch-source.ts'
import { parseHeader } from './replay/header.ts'

const HEADERS_AT_ONCE = 500

/** A source that reads the table `batches`. */
export const tableBatches = (pool: ReadPool): BatchSource => ({
  async *headers(after, through) {
    for (let last = after; last < through; ) {
      const rows = await readBatchHeaders(pool, { after: last, through }, HEADERS_AT_ONCE)
      if (rows.length === 0) return
      last = rows.at(-1)!.sequence
      yield rows.map((row) => ({
        sequence: row.sequence,
        previousHash: row.previous_hash,
        hash: row.hash,
        bytes: row.header,
        header: parseHeader(row.sequence, row.header),
      }))
    }
  },
  payload: async (sequence) => (await readBatchPayload(pool, sequence)) ?? null,
})
