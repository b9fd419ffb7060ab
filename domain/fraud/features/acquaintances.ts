/**
 * Whom an account has dealt with, in bounded room: two Bloom filters, one of this period and one of the last, instead of a row for
 * each pair. What is told to be new is new; what is told to be known may, in a full filter, be new.
 *
 * A filter of 512 bits with two bits an entry says "known" wrongly for 2 % at 40 entries and 11 % at 100.
 */
import type { ByteReader, ByteWriter } from './bytes.ts'

export interface Acquaintances {
  /** Number of the period (event time / PERIOD_MS) that `current` is of; -1 where nothing was recorded. */
  period: number
  /** WORDS words of 16 bits; NOBODY until somebody is met. */
  current: readonly number[]
  previous: readonly number[]
  /** Entries that were new when they came into `current`, those of `previous` included once they come again. */
  currentCount: number
  previousCount: number
}

/** 30 days: an entry is kept 30 to 60 days. */
const PERIOD_MS = 30 * 86_400_000
const WORDS = 32
const BITS = WORDS * 16
/** A filter without entries: shared, never written to. */
const NOBODY: readonly number[] = Object.freeze(new Array<number>(WORDS).fill(0))

/** Nobody met yet. */
export const newAcquaintances = (): Acquaintances => ({
  period: -1,
  current: NOBODY,
  previous: NOBODY,
  currentCount: 0,
  previousCount: 0,
})

/** FNV-1a over UTF-16 code units, 32 bits. */
export const nameHash = (name: string): number => {
  let hash = 0x811c9dc5
  for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193)
  // One more round of mixing: FNV's low bits of short names are close to each other.
  hash ^= hash >>> 15
  hash = Math.imul(hash, 0x2c1b3c6d)
  return (hash ^ (hash >>> 12)) >>> 0
}

const firstBit = (hash: number): number => hash % BITS
const secondBit = (hash: number): number => (hash >>> 16) % BITS
const isSet = (words: readonly number[], bit: number): boolean => (words[bit >> 4]! & (1 << (bit & 15))) !== 0
const has = (words: readonly number[], hash: number): boolean =>
  isSet(words, firstBit(hash)) && isSet(words, secondBit(hash))
const put = (words: number[], bit: number): void => {
  words[bit >> 4] = words[bit >> 4]! | (1 << (bit & 15))
}

/** Whether a name (nameHash) was met in this period or the last. */
export const isKnown = (met: Acquaintances, at: number, hash: number): boolean => {
  const ahead = Math.floor(at / PERIOD_MS) - met.period
  if (met.period < 0 || ahead > 1) return false
  return has(met.current, hash) || (ahead <= 0 && has(met.previous, hash))
}

/** About how many different names were met in this period or the last, the more of both. */
export const acquaintanceCount = (met: Acquaintances, at: number): number => {
  const ahead = Math.floor(at / PERIOD_MS) - met.period
  if (met.period < 0 || ahead > 1) return 0
  return ahead === 1 ? met.currentCount : Math.max(met.currentCount, met.previousCount)
}

/** Notes that a name (nameHash) was met. Late ones count for the newest period. @param at ms since 1970; before that nothing is noted */
export const meet = (met: Acquaintances, at: number, hash: number): void => {
  if (at < 0) return
  const ahead = Math.floor(at / PERIOD_MS) - met.period
  if (met.period < 0 || ahead > 0) {
    met.previous = ahead === 1 && met.period >= 0 ? met.current : NOBODY
    met.previousCount = ahead === 1 && met.period >= 0 ? met.currentCount : 0
    met.current = NOBODY
    met.currentCount = 0
    met.period += ahead
  }
  if (has(met.current, hash)) return
  if (met.current === NOBODY) met.current = [...NOBODY]
  const words = met.current as number[]
  put(words, firstBit(hash))
  put(words, secondBit(hash))
  met.currentCount += 1
}

/** Period + 1 (0 = nothing follows), then for both filters: count, and where it isn't 0 the words. */
export const writeAcquaintances = (met: Acquaintances, writer: ByteWriter): void => {
  writer.number(met.period + 1)
  if (met.period < 0) return
  writeFilter(met.current, met.currentCount, writer)
  writeFilter(met.previous, met.previousCount, writer)
}

// Few entries are shorter as their bits than as all words: 16 entries are 32 bits of at most two bytes each.
const writeFilter = (words: readonly number[], count: number, writer: ByteWriter): void => {
  writer.number(count)
  if (count === 0) return
  let bits = 0
  for (let word = 0; word < WORDS; word++) bits += bitsIn(words[word]!)
  if (bits > WORDS) {
    writer.number(0)
    for (const word of words) {
      writer.byte(word & 255)
      writer.byte(word >> 8)
    }
    return
  }
  writer.number(bits)
  let last = 0
  for (let word = 0; word < WORDS; word++) {
    for (let left = words[word]!; left !== 0; left &= left - 1) {
      const bit = word * 16 + 31 - Math.clz32(left & -left)
      writer.number(bit - last)
      last = bit
    }
  }
}

/** How many of 16 bits are set: added up in pairs, then fours, eights, sixteen. */
const bitsIn = (word: number): number => {
  const pairs = word - ((word >> 1) & 0x5555)
  const fours = (pairs & 0x3333) + ((pairs >> 2) & 0x3333)
  const eights = (fours + (fours >> 4)) & 0x0f0f
  return (eights + (eights >> 8)) & 31
}

/** @throws Error where the bytes are none of writeAcquaintances */
export const readAcquaintances = (reader: ByteReader): Acquaintances => {
  const met = newAcquaintances()
  met.period = reader.number() - 1
  if (met.period < 0) return met
  met.currentCount = reader.number()
  met.current = readFilter(met.currentCount, reader)
  met.previousCount = reader.number()
  met.previous = readFilter(met.previousCount, reader)
  return met
}

const readFilter = (count: number, reader: ByteReader): readonly number[] => {
  if (count === 0) return NOBODY
  const words = [...NOBODY]
  const bits = reader.number()
  if (bits === 0) {
    for (let word = 0; word < WORDS; word++) words[word] = reader.byte() | (reader.byte() << 8)
    return words
  }
  let bit = 0
  for (let read = 0; read < bits; read++) {
    bit += reader.number()
    if (bit >= BITS) throw new Error(`feature state: bit ${bit} of ${BITS}`)
    put(words, bit)
  }
  return words
}
