/** Reading batch records in sequence, and what the publisher says it has sent. */
import { zstdDecompressSync } from 'node:zlib'
import type pg from 'pg'
import { ConfigurationError } from '#platform/errors.ts'
import { asOperatingError } from './postgres-errors.ts'

export interface StoredBatch {
  readonly sequence: bigint
  readonly previousHash: Buffer
  readonly hash: Buffer
  readonly format: number
  readonly recordedAtMs: number
  readonly records: number
  readonly header: Buffer
  /** Frames, uncompressed. */
  readonly payload: Buffer
}

interface BatchRow {
  sequence: string | bigint
  previous_hash: Buffer
  hash: Buffer
  format: number
  recorded_ms: string | bigint
  records: number
  header: Buffer
  payload: Buffer
}

// Batches are read while their sizes add up to less than the limit; always at least one.
const READ_BATCHES = `select sequence, previous_hash, hash, format, (extract(epoch from recorded_at) * 1000)::bigint as recorded_ms,
    records, header, payload
  from (select *, sum(octet_length(payload)) over (order by sequence) - octet_length(payload) as before
    from (select * from batches where sequence > $1 order by sequence limit $2) as next) as sized
  where before < $3 order by sequence`

/** A payload that claims to be larger than this when unpacked is damaged. */
const PAYLOAD_BYTES_MAX = 512 * 1024 * 1024
/** Repetitive payloads shrink a thousandfold: unpacked, those of one read must fit in memory too. So many times `bytesMax`. */
const UNPACKED_FACTOR = 4

const storedBatch = (row: BatchRow, payload: Buffer): StoredBatch => ({
  sequence: BigInt(row.sequence),
  previousHash: row.previous_hash,
  hash: row.hash,
  format: row.format,
  recordedAtMs: Number(row.recorded_ms),
  records: row.records,
  header: row.header,
  payload,
})

export class BatchStore {
  private readonly pool: Pick<pg.Pool, 'query'>

  constructor(pool: Pick<pg.Pool, 'query'>) {
    this.pool = pool
  }

  /**
   * The batches after a sequence, in order and without gaps; at least one, where there is one.
   * @param limits.bytesMax of the compressed payloads; the unpacked ones may have four times as many
   */
  async readAfter(
    sequence: bigint,
    limits: { batchesMax: number; bytesMax: number },
  ): Promise<StoredBatch[]> {
    try {
      const { rows } = await this.pool.query<BatchRow>({
        name: 'read-batches',
        text: READ_BATCHES,
        values: [String(sequence), limits.batchesMax, limits.bytesMax],
      })
      const batches: StoredBatch[] = []
      let unpackedBytes = 0
      for (const row of rows) {
        const payload = zstdDecompressSync(row.payload, { maxOutputLength: PAYLOAD_BYTES_MAX })
        unpackedBytes += payload.length
        if (batches.length > 0 && unpackedBytes > limits.bytesMax * UNPACKED_FACTOR) break
        batches.push(storedBatch(row, payload))
      }
      return batches
    } catch (error) {
      throw asOperatingError(error)
    }
  }

  /** Head of the chain, and how far the publisher is at least. */
  async readHead(): Promise<{
    sequence: bigint
    timeline: bigint
    tickMs: number
    publishedSequence: bigint
    /** What of it was published on other clusters than the one that is read now. */
    publishedBefore?: bigint
  }> {
    try {
      const { rows } = await this.pool.query(
        `select sequence, timeline, tick_ms, (select published_sequence from publisher_progress) as published,
           (select published_before from kafka_clusters order by turn desc limit 1) as before from ledger_head`,
      )
      const row = rows[0]
      return {
        sequence: BigInt(row.sequence),
        timeline: BigInt(row.timeline),
        tickMs: Number(row.tick_ms),
        publishedSequence: BigInt(row.published),
        publishedBefore: BigInt(row.before ?? 0),
      }
    } catch (error) {
      // 3F000: no such schema; 42P01: no such table.
      if (/^(42P01|3F000)$/.test(String((error as { code?: unknown }).code))) {
        throw new ConfigurationError('the ledger has no tables yet. Run: npx tallystream migrate', {
          cause: error,
        })
      }
      throw asOperatingError(error)
    }
  }

  /** Notes what was sent: a lower bound, never lowered. */
  async notePublished(sequence: bigint): Promise<void> {
    try {
      await this.pool.query({
        name: 'note-published',
        text: `update publisher_progress set published_sequence = $1, updated_at = now() where published_sequence < $1`,
        values: [String(sequence)],
      })
    } catch (error) {
      throw asOperatingError(error)
    }
  }
}
