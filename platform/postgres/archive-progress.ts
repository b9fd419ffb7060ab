/** What the archiver asks of a ledger: its head and genesis, how much waits to be archived, and noting how far it came. */
import type pg from 'pg'
import { ConfigurationError } from '#platform/errors.ts'
import { asOperatingError } from './postgres-errors.ts'

export interface LedgerOrigin {
  readonly timeline: bigint
  /** What the chain began with; null in ledgers that were made before it was kept. */
  readonly genesis: { readonly tickMs: number; readonly logicVersion: number } | null
}

export interface ArchivableHead extends LedgerOrigin {
  readonly sequence: bigint
}

export interface ArchivedThrough {
  readonly sequence: bigint
  readonly manifest: number
  /** SHA-256 of the manifest's bytes. */
  readonly manifestHash: Buffer
  readonly location: string
}

/** Rows looked at when the waiting bytes are counted: more than that is a segment's worth in any case. */
const COUNTED_BATCHES_MAX = 20_000

/** All of it throws UnreachableError where Postgres doesn't answer, OperatingError `postgres_failed` where it refuses. */
export class ArchiveProgress {
  private readonly pool: Pick<pg.Pool, 'query'>

  constructor(pool: Pick<pg.Pool, 'query'>) {
    this.pool = pool
  }

  /** The end of the chain. @throws ConfigurationError where the ledger has no tables */
  async readHead(): Promise<ArchivableHead> {
    const rows = await this.rows(
      `select sequence, timeline, genesis_tick_ms as tick, genesis_logic_version as logic from ledger_head`,
    )
    const row = rows[0]
    if (row === undefined) {
      throw new ConfigurationError('the ledger has no tables yet. Run: npx tallystream migrate')
    }
    const { tick, logic } = row
    return {
      sequence: BigInt(String(row.sequence)),
      timeline: BigInt(String(row.timeline)),
      genesis:
        tick === null || tick === undefined ? null : { tickMs: Number(tick), logicVersion: Number(logic) },
    }
  }

  /** The hash of a batch; null where its row isn't there (not decided yet, or removed). */
  async hashOf(sequence: bigint): Promise<Buffer | null> {
    const rows = await this.rows('select hash from batches where sequence = $1', [String(sequence)])
    return (rows[0]?.hash as Buffer | undefined) ?? null
  }

  /** Bytes of the batch records after a sequence, packed as they are stored; of at most 20,000 batches. */
  async waitingBytes(after: bigint): Promise<number> {
    const rows = await this.rows(
      `select coalesce(sum(bytes), 0)::text as bytes
       from (select octet_length(payload) + octet_length(header) as bytes from batches where sequence > $1
         order by sequence limit $2) as waiting`,
      [String(after), COUNTED_BATCHES_MAX],
    )
    return Number(rows[0]!.bytes)
  }

  /** How far the archive is, as last noted; null where no archiver has run. */
  async read(): Promise<ArchivedThrough | null> {
    const rows = await this.rows(
      'select archived_through, manifest, manifest_hash, location from archive_progress',
    )
    const row = rows[0]
    if (row === undefined) return null
    return {
      sequence: BigInt(String(row.archived_through)),
      manifest: Number(row.manifest),
      manifestHash: row.manifest_hash as Buffer,
      location: String(row.location),
    }
  }

  /** Notes it. Another storage's progress replaces what was noted of the one before; the same storage's is never lowered. */
  async note({ sequence, manifest, manifestHash, location }: ArchivedThrough): Promise<void> {
    await this.rows(
      `insert into archive_progress (archived_through, manifest, manifest_hash, location) values ($1, $2, $3, $4)
       on conflict (only_one) do update set archived_through = excluded.archived_through, manifest = excluded.manifest,
         manifest_hash = excluded.manifest_hash, location = excluded.location, updated_at = now()
       where archive_progress.location <> excluded.location
         or archive_progress.archived_through < excluded.archived_through`,
      [String(sequence), manifest, manifestHash, location],
    )
  }

  private async rows(text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
    try {
      const { rows } = await this.pool.query(text, values)
      return rows as Record<string, unknown>[]
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
}
