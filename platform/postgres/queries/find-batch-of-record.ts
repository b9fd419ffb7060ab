/** Finds the batch that applied a record of an ingest topic. */
import type { ReadPool } from '#platform/postgres/pool.ts'
import type { LogPosition } from '#platform/postgres/queries/read-applied-offsets.ts'

// What a batch read is in its header alone; the sequences to look through are those since the record was published.
const TEXT = `select sequence from batches
  where sequence > $1 and exists (
    select from jsonb_array_elements(convert_from(header, 'UTF8')::jsonb -> 'sources') as source
    where source ->> 'topic' = $2 and (source ->> 'partition')::int = $3
      and (source ->> 'from')::bigint <= $4 and (source ->> 'next')::bigint > $4)
  order by sequence limit 1`

/**
 * The sequence of the batch, or undefined where no kept batch after `afterSequence` read the record.
 *
 * @param afterSequence The ledger's sequence before the record was published.
 */
export async function findBatchOfRecord(
  pool: ReadPool,
  position: LogPosition,
  afterSequence: bigint,
): Promise<bigint | undefined> {
  const values = [afterSequence, position.topic, position.partition, position.offset]
  const [row] = await pool.query<{ sequence: bigint }>({ text: TEXT }, values)
  return row?.sequence
}
