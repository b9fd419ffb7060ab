/** Builds record batches byte by byte, for tests of the decoder. Format: https://kafka.apache.org/documentation/#recordbatch */
import { crc32c } from '@node-rs/crc32'
import { CODEC_NUMBERS, type CodecName, compress } from './compression.ts'
import { type AbortedTransaction, decodeRecordSet, type RecordSet } from './record-batches.ts'

export interface RecordFixture {
  key?: Buffer | string | null
  value?: Buffer | string | null
  headers?: [string, string][]
  /** Default: its place in the list. */
  offsetDelta?: number
  timestampDelta?: number
}

export interface BatchFixture {
  baseOffset: number
  records?: RecordFixture[]
  /** Default: of the last record; larger after compaction. */
  lastOffsetDelta?: number
  producerId?: number
  transactional?: boolean
  control?: 'abort' | 'commit'
  codec?: CodecName
  baseTimestamp?: number
  /** Default: the number of records. */
  claimedCount?: number
  appendTimeMs?: number
}

export function varint(value: number | bigint): Buffer {
  let unsigned = BigInt.asUintN(64, (BigInt(value) << 1n) ^ (BigInt(value) >> 63n))
  const bytes: number[] = []
  while (unsigned >= 0x80n) {
    bytes.push(Number(unsigned & 0x7fn) | 0x80)
    unsigned >>= 7n
  }
  bytes.push(Number(unsigned))
  return Buffer.from(bytes)
}

function sized(value: Buffer | string | null | undefined): Buffer {
  if (value === null || value === undefined) return varint(-1)
  const bytes = Buffer.from(value as string)
  return Buffer.concat([varint(bytes.length), bytes])
}

function recordBytes(record: RecordFixture, index: number): Buffer {
  const headers = record.headers ?? []
  const body = Buffer.concat([
    Buffer.from([0]),
    varint(record.timestampDelta ?? 0),
    varint(record.offsetDelta ?? index),
    sized(record.key),
    sized(record.value),
    varint(headers.length),
    ...headers.flatMap(([name, value]) => [sized(name), sized(value)]),
  ])
  return Buffer.concat([varint(body.length), body])
}

/** One batch; a control batch holds its marker only. */
export function batchBytes(fixture: BatchFixture): Buffer {
  const marker = Buffer.from([0, 0, 0, fixture.control === 'commit' ? 1 : 0])
  const records = fixture.control
    ? [{ key: marker, value: Buffer.alloc(6) }]
    : (fixture.records ?? [{ value: 'v' }])
  const lastDelta = records.length === 0 ? 0 : (records.at(-1)!.offsetDelta ?? records.length - 1)
  const body = compress(fixture.codec ?? 'none', Buffer.concat(records.map(recordBytes)))
  const header = Buffer.alloc(61)
  header.writeBigInt64BE(BigInt(fixture.baseOffset), 0)
  header.writeInt32BE(49 + body.length, 8)
  header[16] = 2
  const attributes =
    CODEC_NUMBERS[fixture.codec ?? 'none'] |
    (fixture.appendTimeMs === undefined ? 0 : 0x08) |
    (fixture.transactional || fixture.control ? 0x10 : 0) |
    (fixture.control ? 0x20 : 0)
  header.writeInt16BE(attributes, 21)
  header.writeInt32BE(fixture.lastOffsetDelta ?? lastDelta, 23)
  header.writeBigInt64BE(BigInt(fixture.baseTimestamp ?? 1_700_000_000_000), 27)
  header.writeBigInt64BE(BigInt(fixture.appendTimeMs ?? fixture.baseTimestamp ?? 1_700_000_000_000), 35)
  header.writeBigInt64BE(BigInt(fixture.producerId ?? -1), 43)
  header.writeInt32BE(fixture.claimedCount ?? records.length, 57)
  return withChecksum(Buffer.concat([header, body]))
}

/** The batch with the checksum that its bytes have now. */
export function withChecksum(batch: Buffer): Buffer {
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17)
  return batch
}

/** Decodes batches of a partition `t:0`, one behind the other. */
export function decodeFixtures(
  batches: (BatchFixture | Buffer)[],
  options: {
    from?: number
    aborted?: AbortedTransaction[]
    bytesMax?: number
    fetchBytesMax?: number
    fetchRecordsMax?: number
  } = {},
): RecordSet {
  const data = Buffer.concat(batches.map((batch) => (Buffer.isBuffer(batch) ? batch : batchBytes(batch))))
  return decodeRecordSet(data, {
    topic: 't',
    partition: 0,
    fetchedOffset: BigInt(options.from ?? 0),
    abortedTransactions: options.aborted ?? [],
    decompressedBytesMax: options.bytesMax ?? 1024 * 1024,
    ...(options.fetchBytesMax === undefined ? {} : { fetchBytesMax: options.fetchBytesMax }),
    ...(options.fetchRecordsMax === undefined ? {} : { fetchRecordsMax: options.fetchRecordsMax }),
  })
}
/** The values of the records, as text. */
export const valuesOfSet = (set: RecordSet): string[] => set.records.map(({ value }) => String(value))
/** A batch of one record inside a transaction. */
export const transactionalBatch = (baseOffset: number, producerId: number, value: string): BatchFixture => ({
  baseOffset,
  producerId,
  transactional: true,
  records: [{ value }],
})
