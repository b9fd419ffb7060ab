/**
 * What the engine keeps because a rulebook looks at it. Nobody pays for states that no rule asks for; a rule that begins to ask
 * begins with what happens from then on, so it goes in as a shadow first.
 */
import type { Rule } from '../rules.ts'
import { type Rulebook, valuesNamedBy } from './definition.ts'
import { rulebookOf } from './engine.ts'

export interface Watch {
  readonly cards: boolean
  /** Terminals, and merchants where no terminal is told. */
  readonly terminals: boolean
  readonly devices: boolean
  /** Money that accounts receive. */
  readonly receipts: boolean
  /** What labels say of payers, terminals and merchants. */
  readonly labels: boolean
}

export const NO_WATCH: Watch = Object.freeze({
  cards: false,
  terminals: false,
  devices: false,
  receipts: false,
  labels: false,
})
export const FULL_WATCH: Watch = Object.freeze({
  cards: true,
  terminals: true,
  devices: true,
  receipts: true,
  labels: true,
})

const watches = new WeakMap<readonly Rule[], Watch>()

/** What the rulebook in force among the active rules looks at, shadows included. */
export const watchOf = (rules: readonly Rule[]): Watch => {
  const known = watches.get(rules)
  if (known !== undefined) return known
  const book = rulebookOf(rules)
  const watch = book === null ? NO_WATCH : watchOfBook(book)
  watches.set(rules, watch)
  return watch
}

/** What a rulebook looks at, its model included. */
export const watchOfBook = (book: Rulebook): Watch => {
  const features = [...book.rules.flatMap(valuesNamedBy), ...(book.model?.features ?? [])]
  const looksAt = (pattern: RegExp): boolean => features.some((feature) => pattern.test(feature))
  return {
    // Where a card is told, it is the card that travels.
    cards: looksAt(/^card_|^country_changed_minutes$/),
    terminals: looksAt(/^terminal_/),
    devices: looksAt(/^device_/),
    receipts: looksAt(/^account_(received_1d|out_in_percent_1d)$/),
    labels: looksAt(
      /^account_frauds_28d$|^terminal_(labelled|risk|run|genuine|first)_|^terminal_.*frauds_28d$/,
    ),
  }
}
