/**
 * Time as an input. A tick says what time it is and where the ingest partitions ended when it was made; it applies once all
 * of them were read up to there, so that time never overtakes a backlog. Ticks apply in the order of their arrival.
 *
 * An end may turn out to be none: the topic was made anew, its partition is gone, or whoever wrote the tick was wrong. The next tick
 * says so by naming a smaller end or none: no tick waits for more than a later one does.
 */
import type { Tick } from '../transactions/command.ts'

export interface PendingTick {
  /** Ms since 1970. */
  readonly time: number
  /** End offsets that were not passed yet, by 'topic:partition'. May name some that were passed meanwhile: see settle. */
  readonly open: Map<string, bigint>
}

/** Changed in place by addTick and advance. */
export interface TickState {
  /** The last applied time, ms since 1970. */
  nowMs: number
  /** Oldest first. At most PENDING_TICKS_MAX. */
  readonly pending: PendingTick[]
  /** How far partitions came while ticks were pending: only the first tick is looked at with each record, the others when their turn comes. */
  readonly passed: Map<string, bigint>
}

/** A tick a second for a minute: more than that only says the same of a longer backlog. */
export const PENDING_TICKS_MAX = 64

/** A tick can't wait for the topic that it came by. */
const OWN_TOPIC_PREFIX = 'ticks:'
// Frozen, since it is handed out again and again.
const NONE = Object.freeze<number[]>([]) as number[]

/** The state of a ledger whose last applied time is `nowMs`, with what pendingTicksJson kept. @throws Error where it isn't that */
export const restoreTicks = (nowMs: number, json: unknown = []): TickState => {
  if (!Array.isArray(json)) throw new Error('pending ticks: expected a list')
  return { nowMs, pending: json.map(restoreTick), passed: new Map() }
}

const restoreTick = (json: unknown): PendingTick => {
  const { time, open } = json as { time: unknown; open: unknown }
  if (!Number.isSafeInteger(time) || typeof open !== 'object' || open === null)
    throw new Error('pending ticks: expected {time, open}')
  return {
    time: time as number,
    open: new Map(Object.entries(open).map(([name, end]) => [name, BigInt(end as number | string)])),
  }
}

/**
 * The pending ticks as plain JSON, [{"time": ms, "open": {"topic:partition": "end"}}], oldest first; ends as decimal strings.
 * What was passed is left out, so equal histories give equal JSON however they were cut.
 */
export const pendingTicksJson = (state: TickState): { time: number; open: Record<string, string> }[] =>
  state.pending.map((tick) => {
    settle(state, tick)
    const names = [...tick.open.keys()].sort()
    return {
      time: tick.time,
      open: Object.fromEntries(names.map((name) => [name, String(tick.open.get(name)!)])),
    }
  })

/**
 * Takes a tick in.
 * @param nextOffsets next offset to apply of each partition, by 'topic:partition'; absent = nothing applied yet
 * @returns the times that apply now, in order (this one, where nothing is left to wait for)
 */
export const addTick = (state: TickState, tick: Tick, nextOffsets: ReadonlyMap<string, bigint>): number[] => {
  const newest = state.pending.at(-1)
  if (tick.time <= (newest?.time ?? state.nowMs)) return NONE
  const open = new Map<string, bigint>()
  for (const { topic, partition, end } of tick.ends) {
    const name = `${topic}:${partition}`
    if (end <= 0n || name.startsWith(OWN_TOPIC_PREFIX) || (nextOffsets.get(name) ?? 0n) >= end) continue
    // Named twice: the later end counts.
    const known = open.get(name)
    if (known === undefined || known < end) open.set(name, end)
  }
  for (const earlier of state.pending) lowerTo(earlier, open)
  if (state.pending.length >= PENDING_TICKS_MAX) state.pending.pop()
  state.pending.push({ time: tick.time, open })
  return applyDue(state)
}

/**
 * Notes that a partition's next offset is now `nextOffset`.
 * @param name 'topic:partition'
 * @returns the times that apply now, in order; nothing to do and no cost where no tick is pending
 */
export const advance = (state: TickState, name: string, nextOffset: bigint): number[] => {
  if (state.pending.length === 0) return NONE
  state.passed.set(name, nextOffset)
  const { open } = state.pending[0]!
  const end = open.get(name)
  if (end === undefined || nextOffset < end) return NONE
  open.delete(name)
  return open.size > 0 ? NONE : applyDue(state)
}

/** Whether a pending tick applies once the partitions are read up to `reached` ('topic:partition' → next offset). Changes nothing. */
export const appliesBy = (state: TickState, reached: ReadonlyMap<string, bigint>): boolean => {
  const first = state.pending[0]
  if (first === undefined) return false
  for (const [name, end] of first.open) {
    if ((state.passed.get(name) ?? 0n) < end && (reached.get(name) ?? 0n) < end) return false
  }
  return true
}

/** Puts times that were to apply back before all others, with nothing left to wait for: `applyDue` gives them again. */
export const putBack = (state: TickState, times: readonly number[]): void => {
  state.pending.unshift(...times.map((time) => ({ time, open: new Map<string, bigint>() })))
}

/** Applies pending ticks from the oldest on, as long as nothing is open. @returns their times, in order */
export const applyDue = (state: TickState): number[] => {
  let times: number[] | null = null
  for (let first = state.pending[0]; first !== undefined; first = state.pending[0]) {
    settle(state, first)
    if (first.open.size > 0) break
    state.pending.shift()
    state.nowMs = first.time
    times ??= []
    times.push(first.time)
  }
  if (state.pending.length === 0) state.passed.clear()
  return times ?? NONE
}

/** Strikes out the ends that were passed since the tick came. */
const settle = (state: TickState, tick: PendingTick): void => {
  for (const [name, end] of tick.open) if ((state.passed.get(name) ?? 0n) >= end) tick.open.delete(name)
}

/** Lets an earlier tick wait for no more than a later one does; what the later one has open is all that isn't passed yet. */
const lowerTo = (earlier: PendingTick, open: ReadonlyMap<string, bigint>): void => {
  for (const [name, end] of earlier.open) {
    const later = open.get(name)
    if (later === undefined) earlier.open.delete(name)
    else if (later < end) earlier.open.set(name, later)
  }
}
