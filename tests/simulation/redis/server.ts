/**
 * A simulated Redis: keys with lives, and what the cache's scripts (platform/redis/cache-scripts.ts) do, command by command.
 */
import type { Scheduler } from '../scheduler/scheduler.ts'

type Reply = [word: string, text: string]

interface Entry {
  readonly value: string
  /** Infinite = for ever. */
  readonly untilMs: number
}

const STATE = /^([^|]+)\|(\d+)\|(\d+)$/
const VERSION = /^(\d+)\|(\d+)\|/
const LEASE = /^([^|]*)\|(\d+)\|(\d+)$/

const isOlder = (
  timeline: string,
  sequence: string,
  otherTimeline: string,
  otherSequence: string,
): boolean => {
  const [a, b] = [BigInt(timeline), BigInt(otherTimeline)]
  return a === b ? BigInt(sequence) < BigInt(otherSequence) : a < b
}

const isValueOlder = (value: string, timeline: string, sequence: string): boolean => {
  const version = VERSION.exec(value)
  return version === null || isOlder(version[1]!, version[2]!, timeline, sequence)
}

/** A balance key was given a value. */
export type BalanceWatcher = (key: string, before: string | null, after: string) => void

export class RedisServer {
  isUp = true
  onBalance: BalanceWatcher = () => undefined
  private readonly scheduler: Scheduler
  private entries = new Map<string, Entry>()

  constructor(scheduler: Scheduler) {
    this.scheduler = scheduler
  }

  get(key: string): string | null {
    const entry = this.entries.get(key)
    if (entry === undefined) return null
    if (entry.untilMs > this.scheduler.nowMs) return entry.value
    this.entries.delete(key)
    return null
  }

  /** All keys with their values, as they are now. */
  *all(): Iterable<[string, string]> {
    for (const key of this.entries.keys()) {
      const value = this.get(key)
      if (value !== null) yield [key, value]
    }
  }

  /** What is left of a key's life, ms; -1 = for ever. */
  lifeOf(key: string): number {
    const { untilMs } = this.entries.get(key)!
    return untilMs === Number.POSITIVE_INFINITY ? -1 : untilMs - this.scheduler.nowMs
  }

  set(key: string, value: string, lifeMs: number): void {
    this.entries.set(key, { value, untilMs: this.scheduler.nowMs + lifeMs })
  }

  setIfAbsent(key: string, value: string, lifeMs: number): 'OK' | null {
    if (this.get(key) !== null) return null
    this.set(key, value, lifeMs)
    return 'OK'
  }

  private keepingLife(key: string, value: string): void {
    this.entries.set(key, { value, untilMs: this.entries.get(key)!.untilMs })
  }

  delete(key: string): number {
    const was = this.get(key) !== null
    this.entries.delete(key)
    return was ? 1 : 0
  }

  /** What a replica has now. */
  snapshot(): () => void {
    const copy = new Map(this.entries)
    return () => {
      this.entries = new Map(copy)
    }
  }

  /** All is lost, as by FLUSHALL or a restart without persistence. */
  flush(): void {
    this.entries = new Map()
  }

  private setBalance(key: string, value: string, lifeMs: string): void {
    this.onBalance(key, this.get(key), value)
    this.set(key, value, Number(lifeMs))
  }

  /** @param lua its text: what it checks is taken from there where it matters */
  script(name: string, lua: string, keys: readonly string[], values: readonly string[]): Reply {
    switch (name) {
      case 'balanceApply':
        return this.apply(lua, keys, values)
      case 'balanceRenew':
        return this.renew(keys, values)
      case 'balanceSettle':
        return this.settle(keys, values)
      case 'balanceExpireOlder':
        return this.expireOlder(keys, values)
      default:
        throw new Error(`tests/simulation/redis has to learn the script "${name}"`)
    }
  }

  private apply(lua: string, keys: readonly string[], values: readonly string[]): Reply {
    const comparesVersions = lua.includes('elseif valueOlder(value, version(ARGV[i])) then')
    const noticesGaps = lua.includes('if compare(applied, ARGV[2]) < 0 then')
    const [generation, previous, sequence, recordedAt, markLife, balanceLife, isLast] = values as string[]
    const state = this.get(keys[0]!)
    if (state === null) return ['gap', '']
    const [, stateGeneration, applied] = STATE.exec(state)!
    if (stateGeneration !== generation) return this.otherGeneration(state)
    if (noticesGaps && BigInt(applied!) < BigInt(previous!)) {
      this.scheduler.happened('gap in the cache')
      return ['gap', state]
    }
    let updated = 0
    for (const [place, row] of values.slice(7).entries()) {
      const key = keys[2 * place + 2]!
      const value = this.get(key)
      const [, timeline, rowSequence] = VERSION.exec(row)!
      if (value === null) this.delete(keys[2 * place + 3]!)
      else if (!comparesVersions || isValueOlder(value, timeline!, rowSequence!)) {
        this.setBalance(key, row, balanceLife!)
        updated += 1
      }
    }
    if (isLast === '1') {
      if (BigInt(sequence!) > BigInt(applied!)) {
        this.set(keys[0]!, `${generation}|${sequence}|${recordedAt}`, Number.POSITIVE_INFINITY)
      }
      this.set(keys[1]!, generation!, Number(markLife))
    }
    return ['ok', String(updated)]
  }

  private otherGeneration(state: string): Reply {
    this.scheduler.happened('late word for another generation')
    return ['generation', state]
  }

  private renew(keys: readonly string[], values: readonly string[]): Reply {
    const [generation, timeline, sequence, recordedAt, markLife, keeps] = values as string[]
    const state = this.get(keys[0]!)
    let [asOf, time] = [sequence, recordedAt]
    const found = state === null ? null : /^(\d+)-[^|]*\|(\d+)\|(\d+)$/.exec(state)
    if (found !== null) {
      if (BigInt(found[1]!) > BigInt(timeline!)) return ['superseded', state!]
      if (found[1] === timeline && keeps === '1') [asOf, time] = [found[2], found[3]]
    }
    this.set(keys[0]!, `${generation}|${asOf}|${time}`, Number.POSITIVE_INFINITY)
    if (markLife === '0') this.delete(keys[1]!)
    else this.set(keys[1]!, generation!, Number(markLife))
    return ['ok', '']
  }

  private settle(keys: readonly string[], values: readonly string[]): Reply {
    const [generation, token, life] = values as string[]
    const state = this.get(keys[0]!)
    if (state === null) return ['none', '']
    if (STATE.exec(state)![1] !== generation) return this.otherGeneration(state)
    let planted = 0
    for (const [place, row] of values.slice(3).entries()) {
      const [key, leaseKey] = [keys[2 * place + 1]!, keys[2 * place + 2]!]
      const [, timeline, sequence] = VERSION.exec(row)!
      const value = this.get(key)
      if (value !== null) {
        if (isValueOlder(value, timeline!, sequence!)) this.setBalance(key, row, life!)
        continue
      }
      const lease = this.get(leaseKey)
      if (lease === null) continue
      const [, holder, floorTimeline, floorSequence] = LEASE.exec(lease)!
      if (holder === token) {
        if (!isOlder(timeline!, sequence!, floorTimeline!, floorSequence!)) {
          this.setBalance(key, row, life!)
          this.scheduler.happened('balance planted under a lease')
          planted += 1
        }
        this.delete(leaseKey)
      } else if (isOlder(floorTimeline!, floorSequence!, timeline!, sequence!)) {
        this.keepingLife(leaseKey, `${holder}|${timeline}|${sequence}`)
      }
    }
    return ['ok', String(planted)]
  }

  private expireOlder(keys: readonly string[], values: readonly string[]): Reply {
    const [generation, timeline, sequence] = values as string[]
    const state = this.get(keys[0]!)
    if (state === null) return ['none', '']
    if (STATE.exec(state)![1] !== generation) return this.otherGeneration(state)
    let removed = 0
    for (let place = 1; place < keys.length; place += 2) {
      const value = this.get(keys[place]!)
      if (value !== null) {
        if (isValueOlder(value, timeline!, sequence!)) removed += this.delete(keys[place]!)
        continue
      }
      const lease = this.get(keys[place + 1]!)
      if (lease === null) continue
      const [, token, floorTimeline, floorSequence] = LEASE.exec(lease)!
      if (isOlder(floorTimeline!, floorSequence!, timeline!, sequence!)) {
        this.keepingLife(keys[place + 1]!, `${token}|${timeline}|${sequence}`)
      }
    }
    return ['ok', String(removed)]
  }
}
