/** Bodies are read exactly or refused; card numbers never come in. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseExactJson } from '#api/exact-json.ts'
import { isExact } from '#domain/money/exact-number.ts'
import { Problem } from '#api/problem.ts'

const codeOf = (text: string): string => {
  try {
    parseExactJson(text)
    return 'ok'
  } catch (error) {
    if (error instanceof Problem) return error.code
    throw error
  }
}

test.each([
  ['100', 'ok'],
  ['100.00', 'ok'],
  ['0.1', 'ok'],
  ['1e2', 'ok'],
  ['-0', 'ok'],
  ['12.50e-1', 'ok'],
  ['9007199254740992', 'ok'],
  ['9007199254740993', 'number_inexact'],
  ['0.1234567890123456789', 'number_inexact'],
  ['1e400', 'number_inexact'],
  ['1e-400', 'number_inexact'],
  ['123456789012345678901234567890', 'number_inexact'],
])('the amount %s: %s', (amount, code) => {
  expect(codeOf(`{"amount": ${amount}}`)).toBe(code)
})

test('every double is exact as it prints, and with zeros added', () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
      const text = JSON.stringify(value)
      expect(isExact(text, value)).toBe(true)
      if (/^-?\d+\.\d+$/.test(text)) expect(isExact(`${text}00`, value)).toBe(true)
    }),
  )
})

test('an integer is taken exactly when a double prints its very digits', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }), (integer) => {
      const value = Number(integer)
      const printed = BigInt(
        value.toLocaleString('fullwide', { useGrouping: false, maximumSignificantDigits: 21 }),
      )
      if (integer >= -(2n ** 53n) && integer <= 2n ** 53n) expect(isExact(String(integer), value)).toBe(true)
      if (BigInt(value) !== integer && printed !== integer)
        expect(isExact(String(integer), value)).toBe(false)
    }),
  )
})

test.each([
  ['{', 'json_invalid'],
  ['', 'json_invalid'],
  ['{"__proto__": {"id": "x"}}', 'json_invalid'],
  ['{"amount": 1, "amount": 1000}', 'json_invalid'],
  ['{"from": 1, "metadata": {"a": "x", "\\u0061": "y"}}', 'json_invalid'],
  ['{"postings": [{"amount": 1}, {"amount": 1}], "note": "a:b"}', 'ok'],
  [`${'['.repeat(20)}${']'.repeat(20)}`, 'json_too_deep'],
  ['{"card": "4111 1111 1111 1111"}', 'card_number_refused'],
  ['{"metadata": {"4111111111111111": "x"}}', 'card_number_refused'],
  ['{"user_id": 4111111111111111}', 'card_number_refused'],
  ['{"postings": [{"debit": "x-5500-0000-0000-0004"}]}', 'card_number_refused'],
  ['{"merchant": "a\\u0000b"}', 'encoding_invalid'],
  ['{"metadata": {"note": "\\ud83d"}}', 'encoding_invalid'],
  ['{"metadata": {"\\udc00": "note"}}', 'encoding_invalid'],
  ['{"metadata": {"note": "\\ud83d\\udcb6"}}', 'ok'],
  ['{"amount": 4111111111111111}', 'ok'],
  ['{"occurredAt": 1767225600000}', 'ok'],
])('%s: %s', (text, code) => {
  expect(codeOf(text)).toBe(code)
})
