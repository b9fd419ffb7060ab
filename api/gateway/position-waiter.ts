/** Waits until records are applied, by asking Postgres for all waiting requests at once how far the topics are read. */
import { SharedPoller } from '#api/gateway/shared-poller.ts'
import { isPassed, type LogPosition } from '#platform/postgres/queries/read-applied-offsets.ts'

export interface PositionWaiterOptions {
  /** 'topic:partition' → next offset, as read-applied-offsets gives it. */
  readAppliedOffsets: () => Promise<ReadonlyMap<string, bigint>>
  waitersMax?: number
  intervalMinMs?: number
  intervalMaxMs?: number
  onPollFailed?: (error: unknown) => void
}

export class PositionWaiter {
  readonly #poller: SharedPoller<LogPosition, true>

  constructor(options: PositionWaiterOptions) {
    this.#poller = new SharedPoller({
      poll: async (positions) => {
        const applied = await options.readAppliedOffsets()
        return new Map(positions.filter((p) => isPassed(applied, p)).map((p) => [p, true as const]))
      },
      waitersMax: options.waitersMax ?? 2000,
      intervalMinMs: options.intervalMinMs ?? 10,
      intervalMaxMs: options.intervalMaxMs ?? 250,
      onPollFailed: options.onPollFailed ?? (() => {}),
    })
  }

  /**
   * True as soon as the record at this position is applied; false after `timeoutMs`, or when closed.
   *
   * @throws OperatingError `too_many_waiters`
   */
  async wait(position: LogPosition, timeoutMs: number): Promise<boolean> {
    return (await this.#poller.wait(position, timeoutMs)) === true
  }

  /** Ends every wait. */
  close(): void {
    this.#poller.close()
  }
}
