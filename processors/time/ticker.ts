/** Makes time an input: publishes the clock and where the ingest partitions end, about once a second. */
import type { Tick } from '#domain/transactions/command.ts'
import { OperatingError } from '#platform/errors.ts'
import { atMost, type Clock } from '#platform/time/clock.ts'

export interface TickerOptions {
  readonly intervalMs: number
  readonly actor: string
  readonly clock: Clock
  readonly lease: { take(): Promise<boolean>; release(): Promise<void> }
  /** End offsets of the ingest partitions but those of `ticks`, topics without the ledger's prefix. */
  readonly readEnds: () => Promise<Tick['ends']>
  readonly publish: (tick: Tick) => Promise<void>
  readonly logger: { warn(fields: object, message: string): void }
}

const STOP_TIMEOUT_MS = 2_000
const LEASE_WAIT_MS = 500

export class Ticker {
  private readonly options: TickerOptions
  private stopping = false
  private wakeUp: (() => void) | null = null
  private done: Promise<void> = Promise.resolve()

  constructor(options: TickerOptions) {
    this.options = options
  }

  /** Runs until `stop`. */
  run(): Promise<void> {
    this.done = this.loop()
    return this.done
  }

  async stop(): Promise<void> {
    this.stopping = true
    this.wakeUp?.()
    await atMost(this.options.clock, STOP_TIMEOUT_MS, this.done)
    // A database that stalls isn't waited for: the lease ends by itself.
    await atMost(this.options.clock, LEASE_WAIT_MS, this.options.lease.release())
  }

  private async loop(): Promise<void> {
    while (!this.stopping) {
      try {
        // The time is taken before the ends: a record that is later than the time may be waited for, never the reverse.
        if (await this.options.lease.take()) await this.tick()
      } catch (error) {
        if (!(error instanceof OperatingError)) throw error
        this.options.logger.warn({ code: error.code }, `no tick: ${error.message}`)
      }
      await this.wait()
    }
  }

  private async tick(): Promise<void> {
    const time = this.options.clock.wallMs()
    const ends = await this.options.readEnds()
    await this.options.publish({ time, ends, actor: this.options.actor })
  }

  private async wait(): Promise<void> {
    if (this.stopping) return
    await new Promise<void>((resolve) => {
      const cancel = this.options.clock.after(this.options.intervalMs, resolve)
      this.wakeUp = () => {
        cancel()
        resolve()
      }
    })
    this.wakeUp = null
  }
}
