/**
 * The four compression codecs of Kafka's record batches, both ways, with a bound on what comes out.
 *
 * Everything is synchronous: a batch is at most about a megabyte, and a hop to the thread pool costs more than the work.
 */
import { constants, gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { compressFrameSync, decompressFrameSync } from 'lz4-napi'
import { compressSync as snappyCompress, uncompressSync as snappyUncompress } from 'snappy'
import { OperatingError } from '#platform/errors.ts'

/** Names of the codecs with their number in a batch's attributes (Kafka protocol, RecordBatch, bits 0–2). */
export const CODEC_NUMBERS = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 } as const
export type CodecName = keyof typeof CODEC_NUMBERS

/** Default bound on one batch after decompression. Brokers take about 1 MiB compressed by default, so this is a bomb or a fault. */
export const DECOMPRESSED_BYTES_MAX_DEFAULT = 64 * 1024 * 1024

/** snappy-java's stream header (xerial framing): magic, then version 1 and lowest compatible version 1 as int32. */
const XERIAL_HEADER = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1])
const XERIAL_MAGIC = XERIAL_HEADER.subarray(0, 8)
/** Block size that snappy-java writes by default. */
const XERIAL_BLOCK_BYTES = 32 * 1024

const LZ4_MAGIC = 0x184d2204
const LZ4_BLOCK_BYTES_MAX = [0, 0, 0, 0, 1 << 16, 1 << 18, 1 << 20, 1 << 22]

/**
 * Decompresses one batch's records.
 * @param codec number from the batch's attributes; 0 gives the bytes back
 * @param bytesMax bound on the result in bytes
 * @throws OperatingError `batch_too_large` beyond the bound, `batch_undecodable` for bytes that aren't of the codec
 */
export function decompress(codec: number, data: Buffer, bytesMax = DECOMPRESSED_BYTES_MAX_DEFAULT): Buffer {
  try {
    switch (codec) {
      case CODEC_NUMBERS.none:
        return data
      case CODEC_NUMBERS.gzip:
        return gunzipSync(data, { maxOutputLength: bytesMax })
      case CODEC_NUMBERS.snappy:
        return decompressSnappy(data, bytesMax)
      case CODEC_NUMBERS.lz4:
        return decompressLz4(data, bytesMax)
      case CODEC_NUMBERS.zstd:
        return zstdDecompressSync(data, { maxOutputLength: bytesMax })
      default:
        throw new OperatingError('batch_undecodable', `unknown compression codec ${codec}`)
    }
  } catch (error) {
    if (error instanceof OperatingError) throw error
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(bytesMax, error)
    throw new OperatingError('batch_undecodable', `a batch does not decompress (codec ${codec})`, {
      cause: error,
    })
  }
}

/** Compresses one batch's records. Throws nothing for any input. */
export function compress(codec: CodecName, data: Buffer): Buffer {
  switch (codec) {
    case 'none':
      return data
    case 'gzip':
      return gzipSync(data)
    case 'snappy':
      return compressSnappy(data)
    case 'lz4':
      return compressFrameSync(data)
    case 'zstd':
      return zstdCompressSync(data, { params: { [constants.ZSTD_c_compressionLevel]: 3 } })
  }
}

function tooLarge(bytesMax: number, cause?: unknown): OperatingError {
  return new OperatingError('batch_too_large', `a batch decompresses to more than ${bytesMax} bytes`, {
    cause,
  })
}

function compressSnappy(data: Buffer): Buffer {
  const parts: Buffer[] = [XERIAL_HEADER]
  for (let start = 0; start < data.length; start += XERIAL_BLOCK_BYTES) {
    const block = snappyCompress(data.subarray(start, start + XERIAL_BLOCK_BYTES))
    const length = Buffer.alloc(4)
    length.writeInt32BE(block.length)
    parts.push(length, block)
  }
  return Buffer.concat(parts)
}

/**
 * Producers on other clients write xerial framing (Java, librdkafka) or one bare block; both are read. Each block begins with its
 * uncompressed length: they are summed up before anything is unpacked.
 */
function decompressSnappy(data: Buffer, bytesMax: number): Buffer {
  const blocks = data.subarray(0, 8).equals(XERIAL_MAGIC) ? xerialBlocks(data) : [data]
  let claimed = 0
  for (const block of blocks) claimed += claimedBytes(block)
  if (claimed > bytesMax) throw tooLarge(bytesMax)
  const parts = blocks.map((block) => snappyUncompress(block, { asBuffer: true }) as Buffer)
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts)
}

function xerialBlocks(data: Buffer): Buffer[] {
  const blocks: Buffer[] = []
  for (let position = XERIAL_HEADER.length; position < data.length; ) {
    const length = data.readInt32BE(position)
    position += 4
    if (length < 0 || position + length > data.length) throw new Error('a snappy block is cut off')
    blocks.push(data.subarray(position, position + length))
    position += length
  }
  return blocks
}

/** A block's uncompressed length, a varint at its beginning. */
function claimedBytes(block: Buffer): number {
  let claimed = 0
  for (let index = 0, factor = 1; index < 5; index++, factor *= 128) {
    const byte = block[index]
    if (byte === undefined) throw new Error('a snappy block is empty')
    claimed += (byte & 0x7f) * factor
    if (byte < 0x80) break
  }
  return claimed
}

/**
 * The library has no bound of its own, so the frame's blocks are walked first: a block can't give more than the frame's
 * block size, nor more than 255 times its own length (the format's greatest ratio).
 */
function decompressLz4(data: Buffer, bytesMax: number): Buffer {
  if (data.readUInt32LE(0) !== LZ4_MAGIC) throw new Error('not an LZ4 frame')
  const flags = data[4]!
  const blockBytesMax = LZ4_BLOCK_BYTES_MAX[(data[5]! >> 4) & 7]!
  if (blockBytesMax === 0) throw new Error('an LZ4 frame claims an unknown block size')
  let position = 7 + (flags & 0x08 ? 8 : 0) + (flags & 0x01 ? 4 : 0)
  let bound = 0
  for (;;) {
    const size = data.readUInt32LE(position)
    if (size === 0) break
    const length = size & 0x7fffffff
    bound += size >>> 31 ? length : Math.min(blockBytesMax, length * 255)
    // Blocks but the last are full in practice; one block of grace keeps an honest batch at the limit readable.
    if (bound > bytesMax + blockBytesMax) throw tooLarge(bytesMax)
    position += 4 + length + (flags & 0x10 ? 4 : 0)
  }
  const result = decompressFrameSync(data)
  if (result.length > bytesMax) throw tooLarge(bytesMax)
  return result
}
