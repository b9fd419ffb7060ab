/** Rulebooks out of records of the serial history. */
import type { Rule } from '../rules.ts'
import type { Rulebook } from './definition.ts'
import { parseRulebook } from './parse.ts'

/** Why a text is no rulebook for the engine; null where it is one. */
export const problemOfRulebook = (definition: string): string | null => {
  try {
    parseRulebook(JSON.parse(definition))
    return null
  } catch (error) {
    return (error as Error).message
  }
}

// What a record's text means never changes, so it is read once for the record, however often other rules change beside it: with a
// model that takes milliseconds.
const texts = new WeakMap<Rule, Rulebook>()
const books = new WeakMap<readonly Rule[], Rulebook | null>()

/** The rulebook in force among the active rules; null where there is none. */
export const rulebookOf = (rules: readonly Rule[]): Rulebook | null => {
  const known = books.get(rules)
  if (known !== undefined) return known
  const rule = rules.find(({ type }) => type === 'rulebook')
  const book = rule?.definition == null ? null : bookOf(rule, rule.definition)
  books.set(rules, book)
  return book
}

const bookOf = (rule: Rule, definition: string): Rulebook => {
  const known = texts.get(rule)
  if (known !== undefined) return known
  const book = parseRulebook(JSON.parse(definition))
  texts.set(rule, book)
  return book
}
