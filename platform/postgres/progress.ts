/** How far a ledger is: what benchmarks, the demo and checks watch. */
import pg from 'pg'
import type { PostgresConfiguration } from '#platform/config/configuration.ts'
import { asOperatingError } from './postgres-errors.ts'

export interface LedgerProgress {
  /** Batches committed, and published at least. */
  readonly sequence: bigint
  readonly publishedSequence: bigint
  /** Sum of the next offsets of all partitions of the named topic. */
  readonly offset: bigint
}

/** A connection that looks at a ledger's progress. */
export class ProgressWatcher {
  private readonly client: pg.Client

  private constructor(client: pg.Client) {
    this.client = client
  }

  /** @throws UnreachableError */
  static async open(postgres: PostgresConfiguration): Promise<ProgressWatcher> {
    const client = new pg.Client({
      connectionString: postgres.url,
      ...(postgres.sslCa === undefined ? {} : { ssl: { ca: postgres.sslCa } }),
      options: `-c search_path=${postgres.schema}`,
      application_name: 'tallystream progress',
      connectionTimeoutMillis: 5_000,
      query_timeout: 30_000,
    })
    client.on('error', () => undefined)
    try {
      await client.connect()
    } catch (error) {
      throw asOperatingError(error)
    }
    return new ProgressWatcher(client)
  }

  /** @param topic without the ledger's prefix */
  async read(topic: string): Promise<LedgerProgress> {
    try {
      const { rows } = await this.client.query<{ sequence: string; published: string; reached: string }>(
        `select h.sequence, p.published_sequence as published,
           (select coalesce(sum(next_offset), 0) from ingest_offsets where topic = $1) as reached
         from ledger_head h, publisher_progress p`,
        [topic],
      )
      const row = rows[0]!
      return {
        sequence: BigInt(row.sequence),
        publishedSequence: BigInt(row.published),
        offset: BigInt(row.reached),
      }
    } catch (error) {
      throw asOperatingError(error)
    }
  }

  async close(): Promise<void> {
    await this.client.end().catch(() => undefined)
  }
}
