/**
 * States of many accounts or terminals in bounded memory, for runs over whole histories: those in use as objects, the rest as their
 * encoded bytes (a tenth of the room), and what hasn't been seen for longer than any window reaches back is dropped.
 */

export interface ShelfOptions<State> {
  readonly make: () => State
  readonly encode: (state: State) => Buffer
  readonly decode: (bytes: Uint8Array) => State
  /** How many are kept as objects. */
  readonly objectsMax: number
  /** After so many days without use a state is dropped. */
  readonly keepDays: number
}

interface Shelved {
  readonly bytes: Buffer
  /** Day of its last use. */
  readonly day: number
}

interface InUse<State> {
  readonly state: State
  day: number
}

export class StateShelf<State> {
  readonly #options: ShelfOptions<State>
  /** Oldest use first. */
  #inUse = new Map<string, InUse<State>>()
  #shelved = new Map<string, Shelved>()
  #sweptOn = 0

  constructor(options: ShelfOptions<State>) {
    this.#options = options
  }

  get size(): number {
    return this.#inUse.size + this.#shelved.size
  }

  /** The state of a name, a new one where there is none. @param day of event time, whole days since 1970 */
  take(name: string, day: number): State {
    const known = this.#inUse.get(name)
    if (known !== undefined) {
      if (known.day < day) {
        known.day = day
        // Back to the end of the order, at most once a day: that is exact enough to choose what goes.
        this.#inUse.delete(name)
        this.#inUse.set(name, known)
      }
      return known.state
    }
    const { make, decode, objectsMax } = this.#options
    const shelved = this.#shelved.get(name)
    const state = shelved === undefined ? make() : decode(shelved.bytes)
    if (shelved !== undefined) this.#shelved.delete(name)
    this.#inUse.set(name, { state, day })
    if (this.#inUse.size > objectsMax) this.#shelveOldest()
    if (day > this.#sweptOn) this.#sweep(day)
    return state
  }

  /** An eighth at once: shelving one for each that comes would go through the order every time. */
  #shelveOldest(): void {
    let left = Math.max(1, this.#inUse.size >> 3)
    for (const [name, { state, day }] of this.#inUse) {
      if (left-- === 0) break
      this.#inUse.delete(name)
      this.#shelved.set(name, { bytes: this.#options.encode(state), day })
    }
  }

  #sweep(day: number): void {
    this.#sweptOn = day
    const oldest = day - this.#options.keepDays
    for (const [name, each] of this.#inUse) {
      if (each.day >= oldest) break
      this.#inUse.delete(name)
    }
    for (const [name, each] of this.#shelved) if (each.day < oldest) this.#shelved.delete(name)
  }
}
