/** Bytes of dead letters for people and documents: as text where they are text, else as hexadecimal; never a card number. */
import { isUtf8 } from 'node:buffer'
import { maskCardNumbersInBytes } from '#domain/transactions/card-numbers.ts'

export const BYTE_FORMS = ['auto', 'text', 'hex', 'base64'] as const
export type ByteForm = (typeof BYTE_FORMS)[number]

export interface ShownBytes {
  readonly encoding: 'text' | 'hex' | 'base64'
  readonly data: string
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: what a terminal would obey isn't text.
const UNPRINTABLE = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/

const isPrintable = (bytes: Buffer): boolean => isUtf8(bytes) && !UNPRINTABLE.test(bytes.toString('utf8'))

/** @param form `auto`: text where it is printable UTF-8, else hex. `text` shows what isn't as U+FFFD. */
export function shownBytes(bytes: Buffer | null, form: ByteForm): ShownBytes | null {
  if (bytes === null) return null
  // They were masked when they were stored; whatever came into the table since then is held to the same.
  const masked = maskCardNumbersInBytes(bytes)
  const encoding = form === 'auto' ? (isPrintable(masked) ? 'text' : 'hex') : form
  if (encoding !== 'text') return { encoding, data: masked.toString(encoding) }
  return { encoding, data: masked.toString('utf8').replace(new RegExp(UNPRINTABLE, 'g'), '\u{fffd}') }
}
