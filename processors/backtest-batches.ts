/** Where a back-test gets the ledger's decisions from: the archive, for batches that are not in Postgres any more, and the tables behind it. */
import type { Configuration } from '#platform/config/configuration.ts'
import { OperatingError } from '#platform/errors.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { tableBatches } from './audit/table-batches.ts'

interface BatchFrames {
  readonly sequence: bigint
  /** Its frames, as stored. */
  readonly payload: Buffer
}

const gone = (expected: bigint, where: string): OperatingError =>
  new OperatingError('batches_gone', `expected batch ${expected}, which is not kept ${where}`)

/**
 * Every batch from the first one up to `through`, in sequence, without a gap.
 * @throws OperatingError `batches_gone` where neither Postgres nor the configured archive has one; those of the archive
 */
export async function* allBatches(
  configuration: Pick<Configuration, 'archive' | 'ledger'>,
  pool: ReadPool,
  through: bigint,
): AsyncGenerator<BatchFrames> {
  const [row] = await pool.query<{ first: bigint | null }>({
    text: 'select min(sequence) as first from batches',
  })
  const first = row?.first ?? through + 1n
  let expected = 1n
  if (first > 1n) {
    if (configuration.archive.url === undefined)
      throw gone(expected, 'in Postgres any more; no archive is configured (ARCHIVE_URL)')
    for await (const batch of archivedBatches(configuration)) {
      if (batch.sequence !== expected || expected > through || expected === first) break
      yield batch
      expected += 1n
    }
    if (expected < first && expected <= through)
      throw gone(expected, 'in Postgres any more, nor in the archive')
  }
  const tables = tableBatches(pool)
  for await (const headers of tables.headers(expected - 1n, through)) {
    for (const { sequence } of headers) {
      const payload = sequence === expected ? await tables.payload(sequence) : null
      if (payload === null) throw gone(expected, 'in Postgres')
      yield { sequence, payload }
      expected += 1n
    }
  }
  if (expected <= through) throw gone(expected, 'in Postgres')
}

async function* archivedBatches({
  archive: settings,
  ledger,
}: Pick<Configuration, 'archive' | 'ledger'>): AsyncGenerator<BatchFrames> {
  // Loaded where it is needed: an S3 client takes tens of megabytes.
  const { openStorage } = await import('#platform/object-storage/open-storage.ts')
  const { Archive } = await import('./archive/archive.ts')
  const storage = openStorage(settings)
  try {
    const archive = new Archive(storage, ledger.name)
    await archive.refresh()
    yield* archive.batches(1n)
  } finally {
    await storage.close()
  }
}
