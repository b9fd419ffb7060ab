/** What engine processes took while they were measured: memory and CPU time by the operating system, phases of a batch by their metrics. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Engine } from '../faults/engines.ts'
import type { Detail } from './measure.ts'
import { significant } from './statistics.ts'

/** A process at one moment; null where the system doesn't tell (it has no /proc). */
export interface ProcessFigures {
  readonly pid: number
  readonly rssMib: number | null
  /** In user and kernel mode since it started, s. */
  readonly cpuSeconds: number | null
}

const TICKS_PER_SECOND = 100
const PAGE_BYTES = 4_096
const MEBIBYTE = 1024 * 1024

/** Linux: proc(5), fields 14 (utime), 15 (stime) and 24 (rss) of /proc/[pid]/stat. */
export function processFigures(pid: number): ProcessFigures {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name, field 2, may hold anything, spaces and brackets too.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return {
      pid,
      rssMib: (Number(fields[21]) * PAGE_BYTES) / MEBIBYTE,
      cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
    }
  } catch {
    return { pid, rssMib: null, cpuSeconds: null }
  }
}

const QUARTERS = ['first', 'second', 'third', 'fourth'] as const

/** The most memory of each role, in all and by quarter of the work: flat, or growing with what was done. */
export class MemorySamples {
  readonly #most = new Map<string, Map<string, number>>()

  /** @param share of the work that is done, 0 to 1 */
  add(
    loads: readonly { readonly ledger: { readonly engines: { readonly running: readonly Engine[] } } }[],
    figures: readonly ProcessFigures[],
    share: number,
  ): void {
    const quarter = QUARTERS[Math.min(3, Math.max(0, Math.floor(share * 4)))]!
    const running = loads.flatMap(({ ledger }) => ledger.engines.running)
    for (const { pid, rssMib } of figures) {
      const engine = running.find((each) => each.pid === pid)
      if (engine === undefined || rssMib === null) continue
      const role = roleOf(engine)
      let byQuarter = this.#most.get(role)
      if (byQuarter === undefined) {
        byQuarter = new Map()
        this.#most.set(role, byQuarter)
      }
      byQuarter.set(quarter, Math.max(byQuarter.get(quarter) ?? 0, rssMib))
    }
  }

  summary(): Record<string, Detail> {
    return Object.fromEntries(
      [...this.#most].map(([role, byQuarter]) => [
        role,
        {
          most: significant(Math.max(...byQuarter.values())),
          quarters: rounded(Object.fromEntries(byQuarter)),
        },
      ]),
    )
  }
}

const roleOf = ({ roles }: Engine): string => roles?.split(',')[0] ?? 'all'

const READY_TIMEOUT_MS = 60_000
const READY_EVERY_MS = 20

/** Seconds from a process' start until it says that it is ready; null where it doesn't. */
export async function timeToReady(engine: Engine): Promise<number | null> {
  const startMs = performance.now()
  while (performance.now() - startMs < READY_TIMEOUT_MS && engine.state === 'running') {
    if (await isReady(engine.metricsUrl)) return significant((performance.now() - startMs) / 1_000, 3)
    await sleep(READY_EVERY_MS)
  }
  return null
}

const isReady = async (metricsUrl: string | undefined): Promise<boolean> => {
  if (metricsUrl === undefined) return false
  try {
    const url = new URL('/health/ready', metricsUrl)
    return (await fetch(url, { signal: AbortSignal.timeout(1_000) })).ok
  } catch {
    return false
  }
}

interface Between {
  readonly begun: { readonly atMs: number; readonly figures: readonly ProcessFigures[] }
  readonly end: { readonly atMs: number; readonly figures: readonly ProcessFigures[] }
  readonly transfers: number
}

/** CPU time a transfer by role, and which share of the time each phase of a batch took. */
export async function engineFigures(
  engines: readonly Engine[],
  between: Between,
): Promise<Record<string, Detail>> {
  const cpu: Record<string, number> = {}
  for (const engine of engines) {
    const { pid } = engine
    const from = between.begun.figures.find((each) => each.pid === pid)?.cpuSeconds
    const to = between.end.figures.find((each) => each.pid === pid)?.cpuSeconds
    const role = roleOf(engine)
    if (from === undefined || from === null || to === undefined || to === null) continue
    cpu[role] = (cpu[role] ?? 0) + ((to - from) * 1_000_000) / between.transfers
  }
  const processor = engines.find(({ roles }) => roles === 'processor')
  return {
    cpu_us_per_transfer: rounded(cpu),
    batch: processor === undefined ? null : await batchFigures(processor),
  }
}

const rounded = (numbers: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, significant(value, 3)]))

/** Seconds of each phase and records of a batch since the process started, from its own metrics. */
async function batchFigures(engine: Engine): Promise<Detail> {
  if (engine.metricsUrl === undefined) return null
  try {
    const url = new URL('/metrics', engine.metricsUrl)
    const text = await (await fetch(url, { signal: AbortSignal.timeout(5_000) })).text()
    const phases: Record<string, number> = {}
    for (const [, phase, seconds] of text.matchAll(
      /^tallystream_batch_phase_seconds_sum\{phase="(\w+)"\} ([\d.e+-]+)$/gm,
    )) {
      phases[phase!] = Number(seconds)
    }
    const records = Number(/^tallystream_batch_records_sum ([\d.e+-]+)$/m.exec(text)?.[1] ?? 0)
    const batches = Number(/^tallystream_batch_records_count ([\d.e+-]+)$/m.exec(text)?.[1] ?? 0)
    return { batches, records_per_batch: significant(records / batches, 3), phase_seconds: rounded(phases) }
  } catch {
    return null
  }
}
