/** The members of a group. Nearly all groups have one or two, a few have very many: an array while it is short, then a set. */

const ARRAY_MAX = 16

export class Members<T> {
  #few: T[] = []
  #many: Set<T> | null = null

  get size(): number {
    return this.#many?.size ?? this.#few.length
  }

  add(member: T): void {
    if (this.#many !== null) {
      this.#many.add(member)
      return
    }
    this.#few.push(member)
    if (this.#few.length <= ARRAY_MAX) return
    this.#many = new Set(this.#few)
    this.#few = []
  }

  delete(member: T): void {
    if (this.#many !== null) {
      this.#many.delete(member)
      return
    }
    const at = this.#few.indexOf(member)
    if (at === -1) return
    const last = this.#few.pop()!
    if (at < this.#few.length) this.#few[at] = last
  }

  /** All of them, in no order that means anything. The array may be the own one: it isn't to be kept or changed. */
  all(): readonly T[] {
    return this.#many === null ? this.#few : [...this.#many]
  }
}
