/** Which items share a reference, in any account of a pair: what breaks are classified by. */
import type { MatchItem } from '#domain/matching/item.ts'

/** More items than these with one reference say nothing about any one of them. */
const SHARED_MAX = 50

const FIELDS = ['uetr', 'endToEndId', 'transactionId', 'creditorReference'] as const

/** Items by their references; they are only ever added. */
export class Relations {
  readonly #byField = FIELDS.map((field) => ({ field, items: new Map<string, MatchItem[]>() }))

  add(item: MatchItem): void {
    for (const { field, items } of this.#byField) {
      const reference = item.references[field]
      if (reference === null) continue
      const sharing = items.get(reference)
      if (sharing === undefined) items.set(reference, [item])
      else sharing.push(item)
    }
  }

  /** Others that share a reference with an item, each once, in the order in which they were added. */
  of(item: MatchItem): MatchItem[] {
    const found = new Set<MatchItem>()
    this.each(item, (other) => found.add(other))
    return [...found]
  }

  /** Shows others that share a reference with an item, those that share several more than once. */
  each(item: MatchItem, see: (other: MatchItem) => void): void {
    for (const { field, items } of this.#byField) {
      const reference = item.references[field]
      if (reference === null) continue
      const sharing = items.get(reference)
      if (sharing === undefined || sharing.length > SHARED_MAX) continue
      for (const other of sharing) if (other.id !== item.id) see(other)
    }
  }
}
