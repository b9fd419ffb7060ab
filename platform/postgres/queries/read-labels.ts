/** What is known of payments by labels, in the order of the batches that decided them. */
import type { ReadPool } from '#platform/postgres/pool.ts'

export interface StoredLabel {
  /** Of the payment, 32 hexadecimal digits. */
  readonly key: string
  readonly isFraud: boolean
  /** Sequence of the batch that decided it. */
  readonly version: bigint
}

/** All of them: the last one of each payment. */
export async function readLabels(pool: ReadPool): Promise<StoredLabel[]> {
  const rows = await pool.query<{ key: string; is_fraud: boolean; version: bigint }>({
    text: `select replace(key::text, '-', '') as key, is_fraud, version from fraud_labels order by version, key`,
  })
  return rows.map(({ key, is_fraud, version }) => ({ key, isFraud: is_fraud, version: BigInt(version) }))
}
