/** What of the ledger may go now: its time, the horizons in force, and how far it is published and archived. */
import { type Horizons, horizonsOf } from '#domain/ledger/horizons.ts'
import { ruleOfRow } from '../ledger-store/json-rows.ts'
import type { Queryable } from './period-rows.ts'

export interface Reach {
  /** The last applied tick, ms since 1970. */
  readonly tickMs: number
  readonly horizons: Horizons
  /** Batches up to here were published at least. */
  readonly publishedSequence: bigint
  /** Batches up to here are in the archive; null = no archiver has run. */
  readonly archivedThrough: bigint | null
}

/** Time and rules in one statement: horizons only ever apply to a time at which they were in force. */
const READ_REACH = `select tick_ms::text, (select published_sequence::text from publisher_progress) as published,
    (select archived_through::text from archive_progress) as archived,
    (select coalesce(jsonb_agg(jsonb_build_object('version', newest.version::text, 'body', newest.body)), '[]') from (
      select distinct on (rule_id) version, body from rules order by rule_id, version desc, index desc) as newest) as rules
  from ledger_head`

export const readReach = async (queryable: Queryable): Promise<Reach> => {
  const { rows } = await queryable.query(READ_REACH)
  const [row] = rows as {
    tick_ms: string
    published: string | null
    archived: string | null
    rules: { version: string; body: unknown }[]
  }[]
  return {
    tickMs: Number(row!.tick_ms),
    horizons: horizonsOf(row!.rules.map(({ version, body }) => ruleOfRow(BigInt(version), body))),
    publishedSequence: BigInt(row!.published ?? 0),
    archivedThrough: row!.archived === null ? null : BigInt(row!.archived),
  }
}
