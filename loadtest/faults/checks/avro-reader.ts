/**
 * Avro binary read by the letter of the specification (Apache Avro 1.11, "Binary Encoding"), with the schema that the registry has
 * under the id in front of the value. It shares nothing with the serializer that wrote the values, so it may judge them.
 */

import { setTimeout as sleep } from 'node:timers/promises'

/** A second apart. */
const ATTEMPTS_MAX = 60

type Schema = string | { type: Schema; [name: string]: unknown } | Schema[]
interface Field {
  name: string
  type: Schema
}

/** Reads values in the registry's wire format: byte 0, schema id (4 bytes, big-endian), Avro binary. long is bigint, int a number. */
export class RegistryReader {
  readonly #registryUrl: string
  readonly #schemas = new Map<number, Promise<Schema>>()

  constructor(registryUrl: string) {
    this.#registryUrl = registryUrl
  }

  /** @throws Error where the bytes don't follow the schema to their end */
  async read<Value>(bytes: Buffer): Promise<Value> {
    if (bytes[0] !== 0) throw new Error(`expected magic byte 0, found ${bytes[0]}`)
    const schema = await this.#schemaOf(bytes.readInt32BE(1))
    const cursor = new Cursor(bytes, 5)
    const value = readValue(cursor, schema, new Map())
    if (cursor.at !== bytes.length) throw new Error(`${bytes.length - cursor.at} bytes are left`)
    return value as Value
  }

  #schemaOf(id: number): Promise<Schema> {
    let schema = this.#schemas.get(id)
    if (schema === undefined) {
      schema = this.#fetchSchema(id)
      this.#schemas.set(id, schema)
    }
    return schema
  }

  /** The registry may just have been killed: it is asked again, since "away" must not be taken for "has no such schema". */
  async #fetchSchema(id: number): Promise<Schema> {
    for (let attempt = 1; ; attempt += 1) {
      const response = await fetch(`${this.#registryUrl}/schemas/ids/${id}`, {
        signal: AbortSignal.timeout(10_000),
      }).catch(() => undefined)
      if (response?.ok === true) {
        return JSON.parse(((await response.json()) as { schema: string }).schema) as Schema
      }
      if (response?.status === 404) throw new Error(`the registry has no schema ${id}`)
      if (attempt === ATTEMPTS_MAX) throw new RegistryAway(`schema ${id}: the registry doesn't answer`)
      await sleep(1_000)
    }
  }
}

/** Nothing can be said about a value: the registry gave no answer for a long time. */
export class RegistryAway extends Error {}

class Cursor {
  readonly bytes: Buffer
  at: number

  constructor(bytes: Buffer, at: number) {
    this.bytes = bytes
    this.at = at
  }

  byte(): number {
    const value = this.bytes[this.at]
    if (value === undefined) throw new Error('the value ends too early')
    this.at += 1
    return value
  }

  /** Variable-length zigzag, up to 64 bits. */
  long(): bigint {
    let raw = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.byte()
      raw |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) break
    }
    return (raw >> 1n) ^ -(raw & 1n)
  }

  take(): Buffer {
    const length = Number(this.long())
    const end = this.at + length
    if (length < 0 || end > this.bytes.length) throw new Error('a length leads beyond the end')
    const taken = this.bytes.subarray(this.at, end)
    this.at = end
    return taken
  }
}

type Names = Map<string, Schema>

const readValue = (cursor: Cursor, schema: Schema, names: Names): unknown => {
  if (Array.isArray(schema)) return readValue(cursor, schema[Number(cursor.long())]!, names)
  if (typeof schema === 'string') return readPrimitive(cursor, schema, names)
  const { type } = schema
  if (typeof schema.name === 'string') names.set(schema.name, schema)
  switch (type) {
    case 'record':
      return Object.fromEntries(
        (schema.fields as Field[]).map((field) => [field.name, readValue(cursor, field.type, names)]),
      )
    case 'enum':
      return (schema.symbols as string[])[Number(cursor.long())]
    case 'array':
      return readBlocks(cursor, () => readValue(cursor, schema.items as Schema, names))
    case 'map':
      return Object.fromEntries(
        readBlocks(cursor, () => [
          cursor.take().toString('utf8'),
          readValue(cursor, schema.values as Schema, names),
        ]) as [string, unknown][],
      )
    default:
      return readValue(cursor, type, names)
  }
}

const readPrimitive = (cursor: Cursor, type: string, names: Names): unknown => {
  switch (type) {
    case 'null':
      return null
    case 'boolean':
      return cursor.byte() === 1
    case 'int':
      return Number(cursor.long())
    case 'long':
      return cursor.long()
    case 'string':
      return cursor.take().toString('utf8')
    case 'bytes':
      return Buffer.from(cursor.take())
    default: {
      const named = names.get(type)
      if (named === undefined) throw new Error(`unknown type ${type}`)
      return readValue(cursor, named, names)
    }
  }
}

/** Blocks of items until one of none; a negative count is followed by the block's size in bytes. */
const readBlocks = (cursor: Cursor, readItem: () => unknown): unknown[] => {
  const items: unknown[] = []
  for (let count = cursor.long(); count !== 0n; count = cursor.long()) {
    if (count < 0n) {
      cursor.long()
      count = -count
    }
    for (let place = 0n; place < count; place += 1n) items.push(readItem())
  }
  return items
}
