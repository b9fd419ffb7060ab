/**
 * The mock-transaction generator: a seed and a few numbers in, the records of a run out. Pure: no clock, no Math.random.
 *
 * Expected balances and counts are exact though partitions interleave in any order, because no outcome depends on it:
 * - Accounts, cards, rules and the payers' funds are applied before the first transaction (publish.ts waits for them).
 * - Every payer's funding covers all that ever leaves it, reversals of what it received included: no order of incoming and
 *   outgoing money can overdraw it. Sums don't depend on the order of what is summed.
 * - Overdrafts come from accounts without money that nobody credits; frozen and closed accounts stay so.
 * - What depends on an earlier record (captures, voids, reversals, duplicates, conflicting duplicates) has its key, so its
 *   partition, where Kafka keeps their order. Parents are named by nobody else.
 * - Amount rules look at one record only. The velocity rule is for one currency, in which each account makes one burst
 *   under its own key, so what it counts is the same in every order of partitions.
 * - Cards have no daily limit; their limit is for one transaction.
 * Two runs don't meet: account ids, card tokens and the source carry the run's name.
 */
import { BAD_CASES } from './bad-cases.ts'
import { type Case, GOOD_CASES } from './good-cases.ts'
import { type Market, makeMarkets } from './population.ts'
import { Random } from './random.ts'
import type { GeneratedRecord } from './records.ts'
import { Workshop } from './workshop.ts'

export interface MixOptions {
  /** Names the run in ids; a letter and at most 20 letters, digits. */
  readonly run: string
  readonly seed: number
  /** Records on the topic `transactions`, the funding not counted. */
  readonly transactions: number
  /** Customers, about. */
  readonly accounts: number
  /** The newest event time, ms since 1970 UTC: not after the ledger's own time. */
  readonly endTimeMs: number
}

/** Cases of one deck. Decks are shuffled one by one, so that even a short run has its share of every case. */
const DECK_SIZE = 1_000
const BAD_IN_DECK = 2
/** Days over which event times spread. */
const DAYS = 3

export const sourceOf = (run: string): string => `generator:${run}`

/** A run's records in the order of publishing, and what is known only after all of them were given out. */
export interface RecordStream {
  readonly records: Iterable<GeneratedRecord>
  readonly markets: readonly Market[]
  /** Complete once the records were taken. */
  readonly workshop: Workshop
}

/** Starts a run from its beginning: the same options give the same records again. */
export function generateMix(options: MixOptions): RecordStream {
  const markets = makeMarkets(options.run, options.accounts)
  const queue: GeneratedRecord[] = []
  const workshop = new Workshop(
    { ...options, source: sourceOf(options.run), days: DAYS, markets },
    (record) => queue.push(record),
  )
  return { records: produce(options.transactions, workshop, queue), markets, workshop }
}

function* produce(
  transactions: number,
  workshop: Workshop,
  queue: GeneratedRecord[],
): Generator<GeneratedRecord> {
  // The deck has a generator of its own, so that a case that draws more or less doesn't change which cases come.
  const deck = new Deck(new Random(workshop.options.seed + 1))
  while (workshop.step < transactions) {
    const due = workshop.takeDue()
    for (const happen of due) happen()
    if (queue.length === 0) {
      const [name, make] = deck.next()
      make(workshop, name)
    }
    // Each record given out is a step, at which later ones may be due.
    while (queue.length > 0 && workshop.step < transactions) {
      yield queue.shift()!
      workshop.step += 1
      if (queue.length > 0) for (const happen of workshop.takeDue()) happen()
    }
  }
}

type NamedCase = readonly [string, Case]

class Deck {
  readonly #random: Random
  readonly #cards: NamedCase[]
  #at = DECK_SIZE

  constructor(random: Random) {
    this.#random = random
    this.#cards = fullDeck()
  }

  next(): NamedCase {
    if (this.#at >= DECK_SIZE) {
      this.#random.shuffle(this.#cards)
      this.#at = 0
    }
    return this.#cards[this.#at++]!
  }
}

function fullDeck(): NamedCase[] {
  const cards: NamedCase[] = []
  for (const [name, make] of Object.entries(BAD_CASES)) {
    for (let count = 0; count < BAD_IN_DECK; count += 1) cards.push([name, make])
  }
  for (const [name, { make, weight }] of Object.entries(GOOD_CASES)) {
    for (let count = 0; count < weight; count += 1) cards.push([name, make])
  }
  const { make } = GOOD_CASES.transfer!
  while (cards.length < DECK_SIZE) cards.push(['transfer', make])
  if (cards.length > DECK_SIZE) throw new Error(`a deck of ${cards.length} cases, expected ${DECK_SIZE}`)
  return cards
}
