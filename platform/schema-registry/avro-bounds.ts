/**
 * Checks that bytes are exactly one value of a schema, before anything is built from them.
 *
 * The decoder trusts counts: ten bytes can claim an array of two thousand million items, and it would build them. Here every
 * length is held against the bytes that are left, so that the work is linear in the payload's size. What decodes to something
 * else than was written is refused too: malformed text, overlong numbers, trailing bytes.
 * Encoding: https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
 */
import { isUtf8 } from 'node:buffer'

/** A schema as JSON: a name, a union, or an object with a type. */
type Schema = string | Schema[] | { [key: string]: unknown }

/** Moves a cursor over one value; throws where it doesn't fit. */
type Check = (cursor: Cursor) => void

interface Cursor {
  bytes: Buffer
  position: number
  depth: number
  /** Items that take no bytes (null, empty records) cost this budget instead. */
  emptyItems: number
}

const DEPTH_MAX = 64
const EMPTY_ITEMS_MAX = 1_000

/** Why bytes are not a value of the schema. */
export class BoundsError extends Error {}

/**
 * Compiles a writer's schema into a check of whole payloads.
 * @returns a function that throws BoundsError for `bytes` from `start` that aren't exactly one value
 */
export function compileBoundsCheck(schema: Schema): (bytes: Buffer, start: number) => void {
  const check = compile(schema, new Map(), '')
  return (bytes, start) => {
    const cursor = { bytes, position: start, depth: 0, emptyItems: EMPTY_ITEMS_MAX }
    check(cursor)
    if (cursor.position !== bytes.length) fail(`${bytes.length - cursor.position} bytes are left over`)
  }
}

function fail(reason: string): never {
  throw new BoundsError(reason)
}

function compile(schema: Schema, named: Map<string, Check>, namespace: string): Check {
  if (typeof schema === 'string') return primitives[schema] ?? byName(schema, named, namespace)
  if (Array.isArray(schema)) return compileUnion(schema.map((branch) => compile(branch, named, namespace)))
  const type = schema.type as Schema
  if (typeof type !== 'string') return compile(type, named, namespace)
  switch (type) {
    case 'record':
    case 'error':
      return compileRecord(schema, named, namespace)
    case 'enum':
      return register(schema, named, namespace, compileEnum((schema.symbols as string[]).length))
    case 'fixed':
      return register(schema, named, namespace, (cursor) => advance(cursor, schema.size as number))
    case 'array':
      return compileBlocks(compile(schema.items as Schema, named, namespace), undefined)
    case 'map':
      return compileBlocks(compile(schema.values as Schema, named, namespace), mapKey)
    default:
      return compile(type, named, namespace)
  }
}

function fullName(name: string, namespace: string): string {
  return name.includes('.') || namespace === '' ? name : `${namespace}.${name}`
}

function namespaceOf(schema: { [key: string]: unknown }, namespace: string): string {
  const name = String(schema.name ?? '')
  if (name.includes('.')) return name.slice(0, name.lastIndexOf('.'))
  return typeof schema.namespace === 'string' ? schema.namespace : namespace
}

function register(
  schema: { [key: string]: unknown },
  named: Map<string, Check>,
  namespace: string,
  check: Check,
): Check {
  named.set(fullName(String(schema.name ?? ''), namespaceOf(schema, namespace)), check)
  return check
}

/** A name may be used inside its own definition (recursion), so it is looked up when used. */
function byName(name: string, named: Map<string, Check>, namespace: string): Check {
  const full = fullName(name, namespace)
  return (cursor) => (named.get(full) ?? named.get(name) ?? fail(`unknown type ${name}`))(cursor)
}

function compileRecord(
  schema: { [key: string]: unknown },
  named: Map<string, Check>,
  namespace: string,
): Check {
  const fields: Check[] = []
  const check: Check = (cursor) => {
    if (++cursor.depth > DEPTH_MAX) fail(`nested more than ${DEPTH_MAX} deep`)
    for (const field of fields) field(cursor)
    cursor.depth--
  }
  register(schema, named, namespace, check)
  const inner = namespaceOf(schema, namespace)
  for (const field of schema.fields as { type: Schema }[]) fields.push(compile(field.type, named, inner))
  return check
}

function compileUnion(branches: Check[]): Check {
  return (cursor) => {
    const index = readNumber(cursor)
    const branch = branches[index] ?? fail(`a union has no branch ${index}`)
    if (++cursor.depth > DEPTH_MAX) fail(`nested more than ${DEPTH_MAX} deep`)
    branch(cursor)
    cursor.depth--
  }
}

function compileEnum(symbols: number): Check {
  return (cursor) => {
    const index = readNumber(cursor)
    if (index < 0 || index >= symbols) fail(`an enumeration has no symbol ${index}`)
  }
}

/** Arrays and maps: blocks of items, each with its count; a negative count is followed by the block's size in bytes. */
function compileBlocks(item: Check, key: Check | undefined): Check {
  return (cursor) => {
    if (++cursor.depth > DEPTH_MAX) fail(`nested more than ${DEPTH_MAX} deep`)
    for (let count = readNumber(cursor); count !== 0; count = readNumber(cursor)) {
      let blockEnd: number | undefined
      if (count < 0) {
        count = -count
        const size = readNumber(cursor)
        blockEnd = cursor.position + size
        if (size < 0 || blockEnd > cursor.bytes.length) fail('a block is longer than what is left')
      }
      for (let index = 0; index < count; index++) {
        const before = cursor.position
        key?.(cursor)
        item(cursor)
        if (cursor.position === before && --cursor.emptyItems < 0) fail('too many items that take no bytes')
      }
      if (blockEnd !== undefined && blockEnd !== cursor.position) fail('a block is not as long as it says')
    }
    cursor.depth--
  }
}

function advance(cursor: Cursor, length: number): void {
  if (length < 0 || length > cursor.bytes.length - cursor.position) fail('a length points beyond the end')
  cursor.position += length
}

/** A zigzag varint of at most 64 bits, as a number (exact below 2^53, and far beyond any length above). */
function readNumber(cursor: Cursor): number {
  let unsigned = 0
  for (let index = 0, factor = 1; index < 10; index++, factor *= 128) {
    const byte = cursor.bytes[cursor.position++]
    if (byte === undefined) fail('the bytes end within a number')
    unsigned += (byte & 0x7f) * factor
    if (byte < 0x80) {
      if (index === 9 && byte > 1) break
      return unsigned % 2 === 0 ? unsigned / 2 : -(unsigned + 1) / 2
    }
  }
  return fail('a number is longer than 64 bits')
}

/** Moves over a text. @returns where its bytes begin */
const passText = (cursor: Cursor): number => {
  const length = readNumber(cursor)
  const start = cursor.position
  advance(cursor, length)
  if (length > 0 && !isUtf8(cursor.bytes.subarray(start, cursor.position))) fail('text is not UTF-8')
  return start
}

const text: Check = (cursor) => void passText(cursor)

/** The decoder sets a map's entries on a plain object: this one would set the object's prototype instead, and be gone. */
const LOST_KEY = Buffer.from('__proto__')

const mapKey: Check = (cursor) => {
  const start = passText(cursor)
  const { bytes, position } = cursor
  if (position - start === LOST_KEY.length && LOST_KEY.equals(bytes.subarray(start, position))) {
    fail('a map has a key called __proto__')
  }
}

const primitives: Record<string, Check> = {
  null: () => undefined,
  boolean: (cursor) => {
    const byte = cursor.bytes[cursor.position++]
    if (byte !== 0 && byte !== 1) fail('a boolean is neither 0 nor 1')
  },
  int: (cursor) => {
    const value = readNumber(cursor)
    if (value > 0x7fffffff || value < -0x80000000) fail('an int is longer than 32 bits')
  },
  long: (cursor) => void readNumber(cursor),
  float: (cursor) => advance(cursor, 4),
  double: (cursor) => advance(cursor, 8),
  bytes: (cursor) => advance(cursor, readNumber(cursor)),
  string: text,
}
