/** The mapping file: examples are valid, and every mistake is named with its path. */
import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { ConfigurationError } from '#platform/errors.ts'
import { parseMapping } from './mapping.ts'

const examples = new URL('./examples/', import.meta.url)

const valid = {
  source: 'test',
  accounts: { from: 'a:{x}', to: 'b:{y}' },
  amount: { value: '{amount}', unit: 'minor' },
  currency: 'EUR',
  occurredAt: { value: '{time}', format: 'iso' },
}
const parse = (changes: Record<string, unknown> = {}) =>
  parseMapping(JSON.stringify({ ...valid, ...changes }))

test.each(readdirSync(examples))('example %s is valid', (name) => {
  expect(parseMapping(readFileSync(new URL(name, examples), 'utf8')).source).not.toBe('')
})

test('defaults: comma, quotes, a header line, UTF-8, ids made from the lines, accounts that exist', () => {
  const mapping = parse()
  expect(mapping.file).toEqual({ delimiter: ',', quote: '"', header: true, encoding: 'utf-8', skipLines: 0 })
  expect(mapping).toMatchObject({ id: null, valueTime: null, open: { first: null, second: null } })
})

test.each<[Record<string, unknown>, RegExp]>([
  [{ source: undefined }, /mapping source: expected 1 to 64 characters, found nothing/],
  [{ amount: { value: '{a}', unit: 'cents' } }, /amount\.unit: expected "minor" or "major", found "cents"/],
  [{ amount: { value: '{a', unit: 'minor' } }, /amount\.value: expected \{column name\}, found "\{a"/],
  [
    { amount: { value: '{a}', unit: 'major', decimal: ',', thousands: ',' } },
    /amount\.thousands: expected another/,
  ],
  [{ amount: { debit: '{d}', credit: '{c}', unit: 'minor' } }, /amount\.debit: expected accounts\.account/],
  [{ accounts: { from: 'a' } }, /accounts\.to: expected text with columns/],
  [
    { accounts: { account: 'a', counter: 'b', positive: 'up' } },
    /accounts\.positive: expected "credit" or "debit"/,
  ],
  [{ occurredAt: { value: '{t}', format: 'hh' } }, /occurredAt\.format: expected epoch_s/],
  [{ occurredAt: { value: '{t}', format: 'iso', zone: 'Nowhere' } }, /occurredAt\.format: .*found "Nowhere"/],
  [{ file: { delimiter: ';;' } }, /file\.delimiter: expected one character, found ";;"/],
  [{ file: { header: [] } }, /file\.header: expected true, or a list/],
  [{ fields: { merchnat: '{m}' } }, /fields\.merchnat: expected no such key, found "\{m\}"/],
  [{ open: { account: {} } }, /open\.account: expected from or to, as in accounts/],
  [{ open: { from: { limited: false, overdraftLimit: 5 } } }, /open\.from\.overdraftLimit: expected none/],
  [{ open: { from: { accountClass: 'vip' } } }, /open\.from\.accountClass: expected "customer"/],
  [{ currency: 7 }, /currency: expected text/],
])('%j is refused', (changes, message) => {
  expect(() => parse(changes)).toThrow(ConfigurationError)
  expect(() => parse(changes)).toThrow(message)
})

test('all mistakes are named at once', () => {
  try {
    parse({ source: '', currency: '' })
    expect.unreachable()
  } catch (error) {
    expect((error as Error).message.split('\n')).toHaveLength(2)
  }
})

test('what is no JSON, and no object, is refused', () => {
  expect(() => parseMapping('{')).toThrow(/expected JSON/)
  expect(() => parseMapping('[]')).toThrow(/the document: expected an object/)
})
