/** A record as it leaves the Kafka adapter. */

/** One record as the engine gets it. `key` and `value` are views on the fetched bytes: copy what is to outlive the batch. */
export interface IngestRecord {
  topic: string
  partition: number
  offset: bigint
  /** The producer's time, or the broker's where the topic says so; milliseconds since 1970. */
  timestampMs: bigint
  key: Buffer | null
  value: Buffer | null
  /** The last value of each header name (as Java's lastHeader); undefined where there are none. */
  headers: Record<string, Buffer> | undefined
  /** Size on the wire before compression, in bytes. */
  sizeBytes: number
  /** Set where this stands for records that nobody can read: `value` is then their whole batch as the log holds it. */
  unreadable?: UnreadableStretch
}

/** A stretch of the log, up to the record's own offset, that its producer made unreadable. */
export interface UnreadableStretch {
  code: 'batch_too_large' | 'batch_undecodable'
  detail: string
  /** The stretch's first offset. The same wherever the fetch began, so that reading it again gives the same record. */
  firstOffset: bigint
}
