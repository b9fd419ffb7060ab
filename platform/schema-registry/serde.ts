/**
 * Records in the Confluent wire format (a zero byte, the writer's schema id as int32, the Avro value), longs as bigint.
 *
 * Decoding is synchronous once the writers' schemas are there: fetch the missing ones for a whole batch with `prepare`, then
 * decode each record. Registry away is an error of `prepare` (wait); everything wrong with a record is an error of `decode`.
 */
import avsc, { type Type } from 'avsc'
import { OperatingError } from '#platform/errors.ts'
import { BoundsError, compileBoundsCheck } from './avro-bounds.ts'
import { bigintLongType } from './avro-long.ts'
import type { AvroSchemaObject } from './registry.ts'

const HEADER_BYTES = 5
/** More than the records of one batch, which are prepared together. */
const UNKNOWN_IDS_MAX = 200_000
const SLAB_BYTES = 256 * 1024

/** What a decoder needs of the registry. */
export interface SchemaSource {
  /** @throws OperatingError `schema_unknown` or `registry_unreachable` */
  schema(id: number): Promise<AvroSchemaObject>
}

/** An Avro type with longs as bigint. @throws OperatingError `schema_incompatible` where it isn't an Avro schema */
export function avroType(schema: AvroSchemaObject): Type {
  try {
    return avsc.Type.forSchema(withPlainLongs(schema) as never, { registry: { long: bigintLongType } })
  } catch (error) {
    throw new OperatingError('schema_incompatible', `not an Avro schema: ${(error as Error).message}`, {
      cause: error,
    })
  }
}

/**
 * `{"type": "long", "logicalType": …}` as plain `"long"`: the library looks only plain names up in its registry of types, and a
 * logical type says nothing about the bytes.
 */
function withPlainLongs(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withPlainLongs)
  if (typeof schema !== 'object' || schema === null) return schema
  const { type } = schema as { type?: unknown }
  if (type === 'long' && !Object.hasOwn(schema, 'name')) return 'long'
  return Object.fromEntries(
    Object.entries(schema).map(([name, inner]) => [name, name === 'default' ? inner : withPlainLongs(inner)]),
  )
}

/** The writer's schema id of a record; undefined where the bytes aren't in the wire format (JSON never begins with a zero byte). */
export function writerIdOf(bytes: Buffer): number | undefined {
  if (bytes.length < HEADER_BYTES || bytes[0] !== 0) return undefined
  return bytes.readInt32BE(1)
}

interface Writer {
  check(bytes: Buffer, start: number): void
  read(bytes: Buffer): unknown
}

/** Decodes values of any writer's schema into ours. Defaults of our schema fill what a writer didn't know yet. */
export class AvroDecoder<T> {
  readonly #source: SchemaSource
  readonly #readerSchema: string
  readonly #readerType: Type
  /** A writer, or the final error that every record of that id gets: as many as the registry has schemas. */
  readonly #writers = new Map<number, Writer | OperatingError>()
  /** Ids that the registry didn't know; whoever sends random ones must not fill the memory. Oldest out first. */
  readonly #unknown = new Set<number>()

  readonly #isTrusted: boolean

  /**
   * @param options.trusted for values that we encoded ourselves and that were held against their hash: they are decoded without
   * looking first whether their lengths and counts are sane, which takes longer than decoding
   */
  constructor(source: SchemaSource, readerSchema: AvroSchemaObject, options: { trusted?: boolean } = {}) {
    this.#isTrusted = options.trusted ?? false
    this.#source = source
    this.#readerSchema = JSON.stringify(readerSchema)
    this.#readerType = avroType(readerSchema)
  }

  /**
   * Fetches the schemas of writers that aren't known yet. Ids that the registry doesn't know are asked for again each time
   * (the registry's client remembers them for a while).
   * @throws OperatingError `registry_unreachable` (retriable): nothing is wrong with the records
   */
  async prepare(writerIds: Iterable<number>): Promise<void> {
    const missing = [...new Set(writerIds)].filter((id) => !this.isReady(id))
    await Promise.all(missing.map((id) => this.#prepareOne(id)))
  }

  /** True where records of this writer decode without asking the registry. */
  isReady(writerId: number): boolean {
    return this.#writers.has(writerId)
  }

  /**
   * Decodes one record.
   * @throws OperatingError `avro_invalid` (not exactly one value of the writer's schema), `schema_unknown` or
   * `schema_incompatible` (the writer's schema can't be read as ours); all of them final
   */
  decode(bytes: Buffer): T {
    const id = writerIdOf(bytes)
    if (id === undefined)
      throw new OperatingError('avro_invalid', 'not in the wire format: no zero byte and schema id')
    const writer = this.#writers.get(id)
    if (writer === undefined && this.#unknown.has(id))
      throw new OperatingError('schema_unknown', `the registry has no schema with id ${id}`)
    if (writer === undefined) throw new Error(`decode() before prepare() for schema ${id}`)
    if (writer instanceof OperatingError) throw writer
    try {
      writer.check(bytes, HEADER_BYTES)
      return writer.read(bytes.subarray(HEADER_BYTES)) as T
    } catch (error) {
      const reason =
        error instanceof BoundsError ? error.message : `not decodable: ${(error as Error).message}`
      throw new OperatingError('avro_invalid', `schema ${id}: ${reason}`, { cause: error })
    }
  }

  async #prepareOne(id: number): Promise<void> {
    try {
      const schema = await this.#source.schema(id)
      this.#writers.set(id, this.#makeWriter(schema))
      this.#unknown.delete(id)
    } catch (error) {
      if (!(error instanceof OperatingError) || error.retriable) throw error
      if (error.code === 'schema_unknown') this.#keepUnknown(id)
      else this.#writers.set(id, error)
    }
  }

  #keepUnknown(id: number): void {
    // Once more at the end: what is decoded next must not be the oldest.
    this.#unknown.delete(id)
    this.#unknown.add(id)
    if (this.#unknown.size <= UNKNOWN_IDS_MAX) return
    for (const oldest of this.#unknown) {
      this.#unknown.delete(oldest)
      return
    }
  }

  #makeWriter(schema: AvroSchemaObject): Writer {
    const check = this.#isTrusted ? () => undefined : compileBoundsCheck(schema)
    const reader = this.#readerType
    const writerType = avroType(schema)
    // Equal by what decides about bytes; documentation and aliases don't.
    if (
      JSON.stringify(schema) === this.#readerSchema ||
      reader.fingerprint().equals(writerType.fingerprint())
    ) {
      return { check, read: (bytes) => reader.fromBuffer(bytes) }
    }
    try {
      const resolver = reader.createResolver(writerType)
      return { check, read: (bytes) => reader.fromBuffer(bytes, resolver) }
    } catch (error) {
      const message = `the writer's schema can't be read as ours: ${(error as Error).message}`
      throw new OperatingError('schema_incompatible', message, { cause: error })
    }
  }
}

/**
 * Encodes values of one schema under its registered id. Results are views on shared slabs that are never written again,
 * so they may be kept; each keeps its slab of 256 KiB alive.
 */
export class AvroEncoder<T> {
  readonly #type: Type
  readonly #id: number
  #slab = Buffer.alloc(0)
  #position = 0

  constructor(schema: AvroSchemaObject, id: number) {
    this.#type = avroType(schema)
    this.#id = id
  }

  /** @throws OperatingError `avro_invalid` where the value doesn't fit the schema */
  encode(value: T): Buffer {
    let end = this.#tryEncode(value)
    // Negative: so many bytes are missing. The first new slab may still be too small for a very large value, the second can't.
    for (let attempt = 0; end < 0 && attempt < 2; attempt++) {
      const needed = this.#slab.length - this.#position - end
      this.#slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, needed))
      this.#position = 0
      end = this.#tryEncode(value)
    }
    if (end < 0) throw new Error('the encoder asked for more room twice')
    const start = this.#position
    this.#slab[start] = 0
    this.#slab.writeInt32BE(this.#id, start + 1)
    this.#position = end
    return this.#slab.subarray(start, end)
  }

  /** The end of the value in the slab, or how much room is missing as a negative number. */
  #tryEncode(value: T): number {
    const start = this.#position + HEADER_BYTES
    if (start > this.#slab.length) return this.#slab.length - start
    try {
      return this.#type.encode(value, this.#slab, start)
    } catch (error) {
      throw new OperatingError(
        'avro_invalid',
        `the value doesn't fit the schema: ${(error as Error).message}`,
        {
          cause: error,
        },
      )
    }
  }
}
