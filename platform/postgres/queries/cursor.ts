/**
 * Places in an ordered listing. A cursor names the last row of a page, so a page doesn't shift when rows are added;
 * to clients it is opaque text (base64url of the numbers).
 */

/** Numbers that order the listing, most significant first. */
export type Cursor = readonly bigint[]

/** Text of a cursor. */
export const encodeCursor = (cursor: Cursor): string => Buffer.from(cursor.join('.')).toString('base64url')

/** The cursor in a text of exactly `length` numbers that fit 64 bits; undefined where it isn't one. */
export function decodeCursor(text: string, length: number): Cursor | undefined {
  if (text.length > 200 || !/^[\w-]+$/.test(text)) return undefined
  const plain = Buffer.from(text, 'base64url').toString('latin1')
  if (!/^\d{1,19}(\.\d{1,19})*$/.test(plain)) return undefined
  const numbers = plain.split('.').map(BigInt)
  if (numbers.length !== length || numbers.some((number) => number >= 2n ** 63n)) return undefined
  return numbers
}

/** One page and where the next one begins; null = this was the last. */
export interface Page<Item> {
  items: Item[]
  next: Cursor | null
}

/** A page from one row more than asked for: that one only says that there is more. */
export function pageOf<Row, Item>(
  rows: readonly Row[],
  limit: number,
  toItem: (row: Row) => Item,
  toCursor: (row: Row) => Cursor,
): Page<Item> {
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  return { items: shown.map(toItem), next: rows.length > limit && last !== undefined ? toCursor(last) : null }
}

/** Behind every row: where the first page of a descending listing begins. */
export const CURSOR_END = 2n ** 63n - 1n

/** A row key (UUID) as four numbers of 32 bits, for cursors. */
export const uuidToNumbers = (uuid: string): bigint[] =>
  (uuid.replaceAll('-', '').match(/.{8}/g) ?? []).map((part) => BigInt(`0x${part}`))

/** The UUID of four such numbers; bits above 32 are dropped. */
export const uuidFromNumbers = (numbers: readonly bigint[]): string =>
  numbers.map((number) => BigInt.asUintN(32, number).toString(16).padStart(8, '0')).join('')
