/**
 * Heads of the chain that are kept elsewhere: whoever rewrites batches in Postgres and makes all later hashes fit still has these
 * against him. Published outputs and archive manifests carry them.
 */
import type { ReadPool } from '#platform/postgres/pool.ts'
import type { Findings } from './findings.ts'

export interface Head {
  readonly sequence: bigint
  /** Hexadecimal. */
  readonly hash: string
  /** Whether it was kept before the tables were looked at: then its batch was committed before. */
  readonly isBefore: boolean
}

/** Heads in ascending order, in chunks. */
export type Witness = AsyncIterable<readonly Head[]>

const READ_HASHES = {
  name: 'audit-hashes',
  text: `select sequence, encode(hash, 'hex') as hash from batches where sequence = any($1::bigint[])`,
}

/** Compares each head with the stored batch. @param last sequence of the ledger's head. @returns the highest one; null = there are none */
export const checkHeads = async (
  pool: ReadPool,
  witness: Witness,
  last: bigint,
  findings: Findings,
): Promise<bigint | null> => {
  let highest: bigint | null = null
  for await (const heads of witness) {
    const sequences = heads.map(({ sequence }) => sequence)
    const rows = await pool.query<Pick<Head, 'sequence' | 'hash'>>(READ_HASHES, [sequences])
    const stored = new Map(rows.map((row) => [row.sequence, row.hash]))
    for (const { sequence, hash, isBefore } of heads) {
      if (highest === null || sequence > highest) highest = sequence
      const own = stored.get(sequence)
      // A missing one below the head is a gap already.
      if (own === undefined && isBefore && sequence > last)
        findings.add('batches', String(sequence), 'removed')
      else if (own !== undefined && own !== hash) findings.add('batches', String(sequence), 'chain')
    }
  }
  return highest
}
