/** Which items share a reference, in any account of a pair: what breaks are classified by. */
import type { MatchItem } from '#domain/matching/item.ts'

/** More items than these with one reference say nothing about any one of them. */
const SHARED_MAX = 50

const FIELDS = ['uetr', 'endToEndId', 'transactionId', 'creditorReference'] as const

/** Items by their references; they are only ever added. */
export class Relations {
  readonly #byReference = new Map<string, MatchItem[]>()

  add(item: MatchItem): void {
    for (const key of keysOf(item)) {
      const items = this.#byReference.get(key)
      if (items === undefined) this.#byReference.set(key, [item])
      else items.push(item)
    }
  }

  /** Others that share a reference with an item, each once, in the order in which they were added. */
  of(item: MatchItem): MatchItem[] {
    const found = new Set<MatchItem>()
    for (const key of keysOf(item)) {
      const items = this.#byReference.get(key) ?? []
      if (items.length <= SHARED_MAX) for (const other of items) if (other.id !== item.id) found.add(other)
    }
    return [...found]
  }
}

const keysOf = ({ references }: MatchItem): string[] =>
  FIELDS.flatMap((field) => (references[field] === null ? [] : [`${field}:${references[field]}`]))
