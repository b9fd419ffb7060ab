/**
 * JSON bodies without rounding: a number that a double can't hold exactly as it was written (0.1234567890123456789,
 * 9007199254740993) is refused, because whoever sent it meant something else than what would be read; so is a name that comes twice.
 */

import { Problem } from '#api/problem.ts'
import { isExact } from '#domain/money/exact-number.ts'
import { containsCardNumber } from '#domain/transactions/card-numbers.ts'
import { jsonShape, membersOf } from '#domain/transactions/json-shape.ts'

const DEPTH_MAX = 16
/** Numbers that may be long: a card number's digits could turn up in them by chance. */
const NUMERIC_FIELDS = new Set(['amount', 'overdraftLimit', 'occurredAt', 'valueTime', 'expiresAt', 'offset'])

/**
 * Parses a body. Numbers are exact, nesting is bounded, texts can be stored, no card number is anywhere in it.
 *
 * @throws Problem `json_invalid`, `number_inexact`, `json_too_deep`, `encoding_invalid` (400), `card_number_refused` (422).
 */
export function parseExactJson(text: string): unknown {
  let inexact: string | undefined
  let parsed: unknown
  try {
    parsed = JSON.parse(text, (name: string, value: unknown, context?: { source?: string }) => {
      // Would become the prototype of whatever the object is copied into.
      if (name === '__proto__') throw new SyntaxError('__proto__ is not a field')
      const source = context?.source
      if (typeof value === 'number' && source !== undefined && !isExact(source, value)) inexact ??= name
      return value
    })
  } catch {
    throw new Problem(400, 'json_invalid', 'Expected a JSON document.')
  }
  checkTexts(parsed, '', 0)
  if (membersOf(parsed) !== jsonShape(text).members) {
    throw new Problem(400, 'json_invalid', 'Expected each name once in an object.')
  }
  if (inexact !== undefined) {
    const field = inexact === '' ? 'a number' : `the number ${JSON.stringify(inexact.slice(0, 64))}`
    throw new Problem(
      400,
      'number_inexact',
      `Expected ${field} to be exact in 15 digits; send it as a string.`,
    )
  }
  return parsed
}

/** @throws Problem `card_number_refused`: a real card number must not come in, and is neither stored nor logged. */
export function refuseCardNumber(text: string): void {
  if (!containsCardNumber(text)) return
  throw new Problem(422, 'card_number_refused', 'The request holds a card number; send a token instead.')
}

/** @throws Problem `encoding_invalid`: Postgres holds no NUL, and half a surrogate pair has no UTF-8; as a record it would be a dead letter */
export function refuseUnstorable(text: string): void {
  if (!text.includes('\0') && text.isWellFormed()) return
  throw new Problem(400, 'encoding_invalid', 'Expected text without NUL and halves of surrogate pairs.')
}

function checkText(text: string): void {
  refuseUnstorable(text)
  refuseCardNumber(text)
}

function checkTexts(value: unknown, field: string, depth: number): void {
  if (depth > DEPTH_MAX) throw new Problem(400, 'json_too_deep', `Expected at most ${DEPTH_MAX} levels.`)
  if (typeof value === 'string') checkText(value)
  else if (typeof value === 'number' && !NUMERIC_FIELDS.has(field)) refuseCardNumber(String(value))
  else if (Array.isArray(value)) for (const item of value) checkTexts(item, field, depth + 1)
  else if (typeof value === 'object' && value !== null) {
    for (const [name, inner] of Object.entries(value)) {
      checkText(name)
      checkTexts(inner, name, depth + 1)
    }
  }
}
