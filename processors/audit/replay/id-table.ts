/**
 * Which ids are taken, with what content and when, and a number to each: a hash table in typed arrays, since a Map of strings would take
 * several hundred bytes an id. Keys are hashes already, so their own bits say where they belong.
 */

const SHARDS = 64
/** Words of an entry: key (4), content (4), place of its time (1), number (1). */
const WORDS = 10
const TIME = 8
const NUMBER = 9
const FIRST_CAPACITY = 256
/** Of a shard's places in use when it grows. */
const FULL = 0.75
/** In the place of the number + 1: 0 is free, this was taken once and is free again. */
const FORGOTTEN = 0xff_ff_ff_ff

export interface TakenId {
  /** 32 hexadecimal digits. */
  readonly content: string
  /** Decision time, ms since 1970. */
  readonly takenAtMs: number
}

interface Shard {
  words: Uint32Array
  capacity: number
  used: number
}

// Hexadecimal digits to numbers and back: by one buffer, since neither can be interrupted.
const scratch = Buffer.alloc(32)
const scratchWords = new Uint32Array(scratch.buffer, scratch.byteOffset, 8)

const newShard = (capacity: number): Shard => ({
  words: new Uint32Array(capacity * WORDS),
  capacity,
  used: 0,
})

export class IdTable {
  private readonly shards = Array.from({ length: SHARDS }, () => newShard(FIRST_CAPACITY))
  /** Decision times: a tick a second, and thousands of ids of each. */
  private readonly times: number[] = []
  private readonly timePlaces = new Map<number, number>()
  size = 0

  /** Adds an id, or gives a known one another content. @param key 32 hexadecimal digits; @param number below 2^32 − 2 */
  set(key: string, { content, takenAtMs }: TakenId, number: number): void {
    scratch.write(key, 0, 'hex')
    scratch.write(content, 16, 'hex')
    const shard = this.shardOf()
    if (shard.used >= shard.capacity * FULL) grow(shard)
    const { words } = shard
    const at = placeOf(shard)
    if (words[at + NUMBER] === 0) shard.used += 1
    if (words[at + NUMBER] === 0 || words[at + NUMBER] === FORGOTTEN) this.size += 1
    words.set(scratchWords, at)
    words[at + TIME] = this.placeOfTime(takenAtMs)
    words[at + NUMBER] = number + 1
  }

  /** Frees an id. */
  forget(key: string): void {
    const { words, at } = this.find(key)
    if (words[at + NUMBER] === 0 || words[at + NUMBER] === FORGOTTEN) return
    words[at + NUMBER] = FORGOTTEN
    this.size -= 1
  }

  /** Gives a known id another number. */
  setNumber(key: string, number: number): void {
    const { words, at } = this.find(key)
    if (!isTaken(words, at)) throw new Error(`id ${key} was never taken`)
    words[at + NUMBER] = number + 1
  }

  /** The number of an id, or -1. */
  numberOf(key: string): number {
    const { words, at } = this.find(key)
    return isTaken(words, at) ? words[at + NUMBER]! - 1 : -1
  }

  /** What is known of an id, or null. */
  get(key: string): TakenId | null {
    const { words, at } = this.find(key)
    if (!isTaken(words, at)) return null
    scratchWords.set(words.subarray(at + 4, at + TIME), 4)
    return { content: scratch.toString('hex', 16, 32), takenAtMs: this.times[words[at + TIME]!]! }
  }

  /** All of them, in no order. */
  *entries(): Generator<TakenId & { readonly key: string; readonly number: number }> {
    for (const { words } of this.shards) {
      for (let at = 0; at < words.length; at += WORDS) {
        if (!isTaken(words, at)) continue
        scratchWords.set(words.subarray(at, at + TIME))
        const key = scratch.toString('hex', 0, 16)
        const content = scratch.toString('hex', 16, 32)
        yield { key, content, takenAtMs: this.times[words[at + TIME]!]!, number: words[at + NUMBER]! - 1 }
      }
    }
  }

  private placeOfTime(timeMs: number): number {
    if (this.times.at(-1) === timeMs) return this.times.length - 1
    let place = this.timePlaces.get(timeMs)
    if (place === undefined) {
      place = this.times.push(timeMs) - 1
      this.timePlaces.set(timeMs, place)
    }
    return place
  }

  private find(key: string): { readonly words: Uint32Array; readonly at: number } {
    scratch.write(key, 0, 'hex')
    const shard = this.shardOf()
    return { words: shard.words, at: placeOf(shard) }
  }

  private shardOf(): Shard {
    return this.shards[scratch[0]! % SHARDS]!
  }
}

const isTaken = (words: Uint32Array, at: number): boolean =>
  words[at + NUMBER] !== 0 && words[at + NUMBER] !== FORGOTTEN

/** Where the key in `scratch` is, or the free place where it belongs. */
const placeOf = (shard: Shard): number => {
  const { words, capacity } = shard
  const [w0, w1, w2, w3] = [scratchWords[0]!, scratchWords[1]!, scratchWords[2]!, scratchWords[3]!]
  for (let place = w1 % capacity; ; place = place + 1 === capacity ? 0 : place + 1) {
    const at = place * WORDS
    if (words[at + NUMBER] === 0) return at
    if (words[at] === w0 && words[at + 1] === w1 && words[at + 2] === w2 && words[at + 3] === w3) return at
  }
}

const grow = (shard: Shard): void => {
  const given = scratchWords.slice()
  const old = shard.words
  const larger = newShard(shard.capacity * 2)
  shard.words = larger.words
  shard.capacity = larger.capacity
  for (let at = 0; at < old.length; at += WORDS) {
    if (old[at + NUMBER] === 0) continue
    scratchWords.set(old.subarray(at, at + 4))
    shard.words.set(old.subarray(at, at + WORDS), placeOf(shard))
  }
  scratchWords.set(given)
}
