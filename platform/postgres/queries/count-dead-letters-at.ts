/** How many of some records have become dead letters. */
import type { ReadPool } from '#platform/postgres/pool.ts'
import type { LogPosition } from '#platform/postgres/queries/read-applied-offsets.ts'

const TEXT = `select count(distinct (topic, partition, "offset")) as count from dead_letters
  where (topic, partition, "offset") in (select t, p, o from unnest($1::text[], $2::int[], $3::bigint[]) as u (t, p, o))`

export async function countDeadLettersAt(pool: ReadPool, positions: readonly LogPosition[]): Promise<number> {
  const [row] = await pool.query<{ count: bigint }>({ name: 'count-dead-letters-at', text: TEXT }, [
    positions.map((position) => position.topic),
    positions.map((position) => position.partition),
    positions.map((position) => position.offset),
  ])
  return Number(row!.count)
}
