/** Reads what commands of a batch need: ids that are taken, and the dead letters that they are about. */
import { deadLetterName } from '#domain/ledger/dead-letters.ts'
import type { InputPosition } from '#domain/ledger/inputs.ts'
import type { ClaimedId, DeadLetterStatus } from '#domain/ledger/state.ts'
import { int4Array, int8Array, textArray } from '../binary-arrays.ts'
import type { Statements } from './store.ts'

/** Ids of commands that are taken, with their content. */
export const readCommands = async (
  session: Statements,
  ids: ReadonlySet<string>,
): Promise<Map<string, ClaimedId>> => {
  if (ids.size === 0) return new Map()
  const { rows } = await session.query<{ id: string; content: string }>(
    'read-commands',
    'select id, content from commands where claims and id = any($1::text[])',
    [textArray([...ids])],
  )
  return new Map(rows.map((row) => [row.id, { content: row.content.replaceAll('-', '') }]))
}

/** What became of the newest dead letter at each position. */
export const readDeadLetterStatuses = async (
  session: Statements,
  positions: readonly InputPosition[],
): Promise<Map<string, DeadLetterStatus>> => {
  if (positions.length === 0) return new Map()
  const { rows } = await session.query<{
    topic: string
    partition: number
    offset: string
    status: DeadLetterStatus
  }>(
    'read-dead-letter-statuses',
    `select distinct on (topic, partition, "offset") topic, partition, "offset", status
     from dead_letter_history
     where (topic, partition, "offset") in (select t, p, o from unnest($1::text[], $2::int[], $3::bigint[]) as u (t, p, o))
     order by topic, partition, "offset", sequence desc, index desc`,
    [
      textArray(positions.map((p) => p.topic)),
      int4Array(positions.map((p) => p.partition)),
      int8Array(positions.map((p) => p.offset)),
    ],
  )
  return new Map(rows.map((row) => [deadLetterName({ ...row, offset: BigInt(row.offset) }), row.status]))
}
