/** The flat entries of stored decisions, whatever version of the schema these were encoded by. */
import { type BatchHeader, FRAME_TOPICS } from '#domain/ledger/batch-record.ts'
import type { OutputMessage } from '#platform/kafka/fenced-producer.ts'
import type { StoredBatch } from '#platform/postgres/batch-store.ts'
import { type Contracts, encoderOf } from '#platform/schema-registry/contracts.ts'
import { AvroDecoder, type AvroEncoder, type SchemaSource } from '#platform/schema-registry/serde.ts'
import { entriesOfProcessed, type ProcessedValue } from './entries.ts'

const PROCESSED = FRAME_TOPICS.indexOf('transactions.processed')

export class EntryMaker {
  private readonly decoder: AvroDecoder<ProcessedValue>
  private readonly encoder: AvroEncoder<unknown>

  /** @param options.trusted the batches' hashes are checked before */
  constructor(
    registry: SchemaSource,
    contracts: Pick<Contracts, 'processed' | 'entries'>,
    options: { trusted?: boolean } = {},
  ) {
    this.decoder = new AvroDecoder(registry, contracts.processed.schema, options)
    this.encoder = encoderOf(contracts.entries)
  }

  /**
   * Fetches the schemas that the batches' decisions were encoded by, where they aren't known yet: across an upgrade batches
   * of another version are still to be published.
   * @throws OperatingError `registry_unreachable` (retriable)
   */
  async prepare(batches: readonly Pick<StoredBatch, 'header'>[]): Promise<void> {
    await this.decoder.prepare(new Set(batches.flatMap(writerOf)))
  }

  /**
   * Entries of one `transactions.processed` value of a batch that was prepared.
   * @throws OperatingError `avro_invalid`, `schema_unknown`, `schema_incompatible`
   */
  of(processed: Buffer): OutputMessage[] {
    return entriesOfProcessed(this.decoder.decode(processed), (entry) => this.encoder.encode(entry))
  }
}

/** None where the header isn't one: whoever checks the batch's hash finds that. */
const writerOf = ({ header }: Pick<StoredBatch, 'header'>): number[] => {
  try {
    const { schemas } = JSON.parse(header.toString('utf8')) as Partial<BatchHeader>
    return schemas?.[PROCESSED] === undefined ? [] : [schemas[PROCESSED]]
  } catch {
    return []
  }
}
