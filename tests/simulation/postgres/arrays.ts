/** Reads the binary arrays that the engine sends as parameters; the format is PostgreSQL's array_recv (arrayfuncs.c). */

const OID = { bool: 16, bytea: 17, int8: 20, int2: 21, int4: 23, text: 25, timestamptz: 1184, uuid: 2950 }
/** Milliseconds from 1970-01-01 to 2000-01-01, Postgres' epoch. */
const POSTGRES_EPOCH_MS = 946_684_800_000n

type Element = string | bigint | number | boolean | Buffer | null

/** The elements of an array parameter: int8 as bigint, timestamps as ms since 1970 (bigint), uuid as 32 hexadecimal digits. */
export const elementsOf = <T extends Element>(value: unknown): T[] => {
  if (Array.isArray(value)) return value as T[]
  if (!Buffer.isBuffer(value)) throw new Error('expected an array parameter')
  if (value.readInt32BE(0) === 0) return []
  const oid = value.readInt32BE(8)
  const length = value.readInt32BE(12)
  const elements: Element[] = []
  let at = 20
  for (let place = 0; place < length; place += 1) {
    const bytes = value.readInt32BE(at)
    at += 4
    if (bytes < 0) {
      elements.push(null)
      continue
    }
    elements.push(elementAt(value, oid, at, bytes))
    at += bytes
  }
  return elements as T[]
}

const elementAt = (value: Buffer, oid: number, at: number, bytes: number): Element => {
  switch (oid) {
    case OID.bool:
      return value[at] === 1
    case OID.bytea:
      return Buffer.from(value.subarray(at, at + bytes))
    case OID.int8:
      return value.readBigInt64BE(at)
    case OID.int2:
      return value.readInt16BE(at)
    case OID.int4:
      return value.readInt32BE(at)
    case OID.text:
      return value.toString('utf8', at, at + bytes)
    case OID.timestamptz:
      return value.readBigInt64BE(at) / 1000n + POSTGRES_EPOCH_MS
    case OID.uuid:
      return value.toString('hex', at, at + bytes)
    default:
      throw new Error(`arrays of type ${oid} aren't known to the simulation`)
  }
}

/** A uuid as Postgres shows it. @param hex 32 digits */
export const uuidText = (hex: string): string =>
  hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
