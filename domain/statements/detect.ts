/** Which format a file is of, by how its text begins. */
import { withoutMarks } from './text-lines.ts'

export type FormatFamily = 'camt' | 'mt' | 'bai2' | 'ofx'

/** How much of a file's begin is looked at, UTF-16 units. */
export const HEAD_LENGTH = 65_536

/** The format family of a file that begins with `head` (up to HEAD_LENGTH of its text); null where none is known. */
export function detectFormat(head: string): FormatFamily | null {
  const text = withoutMarks(head).replace(/^[\s\ufeff]+/, '')
  if (/^OFXHEADER\s*:/i.test(text)) return 'ofx'
  if (text.startsWith('<')) return detectMarkup(text)
  // Alone, or with a group header or a continuation next: a CSV file may begin with 01 too.
  if (/^01,[^\r\n]*(?:\s*$|\s*[\r\n]\s*(?:02|88),)/.test(text)) return 'bai2'
  if (/^\{1:/.test(text) || /(^|[\r\n]|\{4:):20:/.test(text)) return 'mt'
  return null
}

function detectMarkup(text: string): FormatFamily | null {
  if (/<OFX[\s>]|<\?OFX\b/i.test(text)) return 'ofx'
  // Anything else in angle brackets is read as XML: the camt reader says what it finds instead.
  return 'camt'
}
