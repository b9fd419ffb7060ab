/**
 * The simulation's heart: a queue of events on a virtual clock. One event is one step. Whatever the engine awaits is answered
 * by an event, so the order of everything follows from the seed.
 *
 * An event belongs to a simulated process or to a service. What a process' code does until its microtasks are drained belongs
 * to that process too: its timers and requests die with it, or wait while it is paused.
 */
import type { Clock } from '#platform/time/clock.ts'
import { makeRandom, type Random } from './random.ts'
import type { Situation } from './situations.ts'

interface Event {
  readonly atMs: number
  readonly order: number
  readonly process: SimulatedProcess | null
  readonly label: string
  run: (() => void) | null
}

/** Wall time at which every simulation begins, ms since 1970. */
export const START_MS = 1_700_000_000_000

/** Steps kept to be shown when a check fails. */
const RECENT_MAX = 400

export class Scheduler {
  readonly seed: number
  readonly random: Random
  nowMs = 0
  steps = 0
  /** Whose code is running. */
  current: SimulatedProcess | null = null
  /** FNV-1a over all that happened: equal for equal runs. */
  hash = 0x811c9dc5
  /** How often each thing happened that a run is there for. */
  readonly situations = new Map<Situation, number>()
  private readonly heap: Event[] = []
  private order = 0
  private readonly recent: string[] = []
  private readonly labels = new Map<string, number>()
  /** Told of every step, where somebody wants to read along. */
  onTrace: ((line: string) => void) | null = null

  constructor(seed: number) {
    this.seed = seed
    this.random = makeRandom(seed)
  }

  /** Something to happen after `delayMs`; with a process only while that lives. @returns what takes it back */
  schedule(delayMs: number, label: string, process: SimulatedProcess | null, run: () => void): () => void {
    const atMs = this.nowMs + Math.max(delayMs, 0)
    const event: Event = { atMs, order: this.order, process, label, run }
    this.order += 1
    this.push(event)
    return () => {
      event.run = null
    }
  }

  /** A note for the trace that is no step; part of the hash. */
  note(text: string): void {
    this.mix(this.labelHash(text))
    this.trace(`${' '.repeat(10)}· ${text}`)
  }

  /** One of the things that a run is there for has happened. */
  happened(situation: Situation): void {
    this.situations.set(situation, (this.situations.get(situation) ?? 0) + 1)
  }

  /** The last steps, for a report. */
  lately(): string[] {
    return [...this.recent]
  }

  /**
   * Runs until `isOver` says so, or nothing is left to happen. After an event of a process its microtasks are drained: only
   * then can what it awaits be seen.
   */
  run(isOver: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const turn = (): void => {
        try {
          for (let services = 0; services < 64; services += 1) {
            if (isOver()) {
              resolve()
              return
            }
            const event = this.pop()
            if (event === null) {
              resolve()
              return
            }
            if (this.fire(event)) break
          }
        } catch (error) {
          reject(error as Error)
          return
        }
        setImmediateOf(turn)
      }
      turn()
    })
  }

  /** @returns whether code of a process ran, whose microtasks must be drained now */
  private fire(event: Event): boolean {
    if (event.run === null) return false
    const { process } = event
    if (process !== null && !process.alive) return false
    this.nowMs = Math.max(this.nowMs, event.atMs)
    if (process?.paused === true) {
      process.held.push(event)
      return false
    }
    this.steps += 1
    this.mix(this.labelHash(event.label))
    this.mix((this.nowMs * 1024) | 0)
    if (process !== null) this.mix(process.id)
    this.trace(
      `${this.nowMs.toFixed(3).padStart(10)} ${process === null ? '-' : process.name} ${event.label}`,
    )
    this.current = process
    const { run } = event
    event.run = null
    run()
    return process !== null
  }

  private trace(line: string): void {
    this.onTrace?.(line)
    this.recent.push(line)
    if (this.recent.length > RECENT_MAX * 2) this.recent.splice(0, RECENT_MAX)
  }

  private mix(value: number): void {
    this.hash = Math.imul(this.hash ^ value, 0x01000193)
  }

  private labelHash(label: string): number {
    const known = this.labels.get(label)
    if (known !== undefined) return known
    let hash = 0x811c9dc5
    for (let at = 0; at < label.length; at += 1) hash = Math.imul(hash ^ label.charCodeAt(at), 0x01000193)
    if (this.labels.size < 10_000) this.labels.set(label, hash)
    return hash
  }

  private push(event: Event): void {
    const { heap } = this
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (isBefore(heap[parent]!, event)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = event
  }

  private pop(): Event | null {
    const { heap } = this
    const first = heap[0]
    if (first === undefined) return null
    const last = heap.pop()!
    if (heap.length === 0) return first
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1
      if (isBefore(last, heap[child]!)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
    return first
  }
}

const isBefore = (a: Event, b: Event): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)

// Taken before anybody replaces the global.
const setImmediateOf = setImmediate

/** One run of a program: from its start to its crash or end. Started again it is another one. */
export class SimulatedProcess {
  readonly id: number
  readonly name: string
  alive = true
  paused = false
  /** What would have happened while it is paused. */
  held: Event[] = []
  private readonly scheduler: Scheduler
  private readonly closers: ((isCrash: boolean) => void)[] = []

  constructor(scheduler: Scheduler, id: number, name: string) {
    this.scheduler = scheduler
    this.id = id
    this.name = name
  }

  /** Called when it crashes or has ended: its connections learn of it. */
  onEnd(closer: (isCrash: boolean) => void): void {
    this.closers.push(closer)
  }

  after(delayMs: number, label: string, run: () => void): () => void {
    return this.scheduler.schedule(delayMs, label, this, run)
  }

  /** From here on nothing of it ever runs or settles. */
  crash(): void {
    this.end(true)
  }

  /** As a program that ended by itself. */
  exit(): void {
    this.end(false)
  }

  private end(isCrash: boolean): void {
    if (!this.alive) return
    this.alive = false
    this.held = []
    for (const closer of this.closers) closer(isCrash)
  }

  pause(): void {
    this.paused = true
  }

  /** Goes on with all that came in the meantime, in its order. */
  resume(): void {
    if (!this.paused) return
    this.paused = false
    const { held } = this
    this.held = []
    for (const event of held) {
      if (event.run !== null) this.scheduler.schedule(0, event.label, this, event.run)
    }
  }

  /** The clock that its code sees. */
  get clock(): Clock {
    const { scheduler } = this
    return {
      wallMs: () => START_MS + Math.floor(scheduler.nowMs),
      monotonicMs: () => scheduler.nowMs,
      after: (ms, run) => this.after(ms, 'timer', run),
    }
  }
}
