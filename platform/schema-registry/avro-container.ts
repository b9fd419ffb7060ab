/**
 * Avro object container files: written and read in streams, block by block, so that a file's size doesn't matter.
 * Format: https://avro.apache.org/docs/1.12.0/specification/#object-container-files; codec `deflate`, which every reader has.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { type Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import avsc from 'avsc'
import { OperatingError } from '#platform/errors.ts'
import type { AvroSchemaObject } from './registry.ts'
import { avroType } from './serde.ts'

const SYNC_MARKER_BYTES = 16
/** Unpacked; a single larger record makes a block of its own. */
const BLOCK_BYTES = 256 * 1024

export interface AvroFileResult {
  readonly count: number
  readonly bytes: number
  /** SHA-256 of the file, 32 bytes. */
  readonly sha256: Buffer
}

/** Writes one file. The same values under the same metadata give the same bytes: the marker between blocks isn't random. */
export class AvroFileWriter {
  readonly #encoder: Transform
  readonly #written: Promise<void>
  readonly #hash = createHash('sha256')
  #count = 0
  #bytes = 0

  /** @param metadata further entries of the file's head, by name; names must not begin with `avro.` */
  constructor(path: string, schema: AvroSchemaObject, metadata: Readonly<Record<string, string>>) {
    const entries = Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1))
    const marker = createHash('sha256')
      .update(JSON.stringify([schema, entries]))
      .digest()
    this.#encoder = new avsc.streams.BlockEncoder(avroType(schema), {
      codec: 'deflate',
      blockSize: BLOCK_BYTES,
      writeHeader: true,
      syncMarker: marker.subarray(0, SYNC_MARKER_BYTES),
      metadata: Object.fromEntries(entries.map(([name, value]) => [name, Buffer.from(value)])),
    } as never) as unknown as Transform
    const meter = new Transform({
      transform: (part: Buffer, _encoding, done) => {
        this.#hash.update(part)
        this.#bytes += part.length
        done(null, part)
      },
    })
    this.#written = pipeline(this.#encoder, meter, createWriteStream(path))
    // Awaited in close, or in append where it matters sooner.
    this.#written.catch(() => undefined)
  }

  /** Bytes that were written so far, packed; without what waits for its block to fill. */
  get bytes(): number {
    return this.#bytes
  }

  /** Adds a value; waits while the disk is behind. @throws Error where the value isn't of the schema or the disk fails */
  async append(value: unknown): Promise<void> {
    this.#count += 1
    if (this.#encoder.write(value)) return
    await Promise.race([once(this.#encoder, 'drain'), this.#written])
  }

  /** Ends the file. */
  async close(): Promise<AvroFileResult> {
    this.#encoder.end()
    await this.#written
    return { count: this.#count, bytes: this.#bytes, sha256: this.#hash.digest() }
  }

  /** Gives up; the file is left as it is. Never throws. */
  async abort(): Promise<void> {
    this.#encoder.destroy()
    await this.#written.catch(() => undefined)
  }
}

/**
 * The values of a file, in order, longs as bigint. A file that is cut off behind a block ends there without an error: who needs
 * all of it compares the count, or the file's hash.
 * @param source its bytes; destroyed where reading ends early
 * @throws OperatingError `avro_invalid` where the bytes aren't such a file, and what `source` fails with
 */
export async function* readAvroFile<T>(source: Readable): AsyncGenerator<T> {
  const decoder = new avsc.streams.BlockDecoder({
    parseHook: (schema: unknown) => avroType(schema as AvroSchemaObject),
  } as never) as unknown as Transform
  let failure: unknown
  source.on('error', (error) => {
    failure = error
    decoder.destroy(error)
  })
  source.pipe(decoder)
  try {
    for await (const value of decoder) yield value as T
  } catch (error) {
    if (failure !== undefined) throw failure
    throw new OperatingError('avro_invalid', `not an Avro container file: ${(error as Error).message}`, {
      cause: error,
    })
  } finally {
    source.destroy()
    decoder.destroy()
  }
}
