/** A batch record without its payload, for the topic `ledger.batches`: what a recovery needs beside the ingest records. */
import type { LedgerOrigin } from '#platform/postgres/archive-progress.ts'
import type { StoredBatch } from '#platform/postgres/batch-store.ts'
import { type Contracts, encoderOf } from '#platform/schema-registry/contracts.ts'

/** Makes the value that stands for a batch (schemas/avro/ledger-batch.avsc). */
export const batchEncoder = (
  contracts: Pick<Contracts, 'batches'>,
  { timeline, genesis }: LedgerOrigin,
): ((batch: StoredBatch) => Buffer) => {
  const encoder = encoderOf<unknown>(contracts.batches)
  return ({ sequence, previousHash, hash, format, recordedAtMs, records, header }) =>
    encoder.encode({
      sequence,
      previousHash,
      hash,
      format,
      recordedAt: BigInt(recordedAtMs),
      records,
      header,
      timeline,
      genesisTick: genesis === null ? null : BigInt(genesis.tickMs),
      genesisLogic: genesis?.logicVersion ?? null,
    })
}
