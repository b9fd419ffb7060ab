/** Latencies in an HDR histogram (Node's own, three significant digits), as percentiles in milliseconds. */
import { createHistogram } from 'node:perf_hooks'
import { significant } from './statistics.ts'

const MICROSECONDS = 1_000
/** Whatever takes longer counts as this, µs. */
const MOST = 600_000_000

export interface LatencySummary {
  readonly samples: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

export class LatencyHistogram {
  readonly #histogram = createHistogram({ lowest: 1, highest: MOST, figures: 3 })

  /** @param ms from the moment at which it was due, not from when it was sent */
  record(ms: number): void {
    this.#histogram.record(Math.min(MOST, Math.max(1, Math.round(ms * MICROSECONDS))))
  }

  get samples(): number {
    return this.#histogram.count
  }

  /** In ms; null where nothing was recorded. */
  summary(): LatencySummary | null {
    if (this.samples === 0) return null
    const at = (percent: number) => significant(this.#histogram.percentile(percent) / MICROSECONDS)
    return {
      samples: this.samples,
      p50: at(50),
      p99: at(99),
      p999: at(99.9),
      max: significant(this.#histogram.max / MICROSECONDS),
    }
  }
}
