/** Waits for what becomes of transactions, by asking Postgres for all waiting requests at once. */
import { SharedPoller } from '#api/gateway/shared-poller.ts'
import type { StoredOutcome } from '#platform/postgres/queries/read-outcomes.ts'

export interface OutcomeWaiterOptions {
  /** First outcomes of these keys; those that aren't decided yet are left out. */
  readOutcomes: (keys: readonly string[]) => Promise<StoredOutcome[]>
  waitersMax?: number
  intervalMinMs?: number
  intervalMaxMs?: number
  onPollFailed?: (error: unknown) => void
  onWaiters?: (count: number) => void
}

interface OutcomeWish {
  readonly key: string
}

export class OutcomeWaiter {
  readonly #poller: SharedPoller<OutcomeWish, StoredOutcome>

  constructor(options: OutcomeWaiterOptions) {
    this.#poller = new SharedPoller({
      poll: async (wishes) => {
        const outcomes = await options.readOutcomes([...new Set(wishes.map(({ key }) => key))])
        const byKey = new Map(outcomes.map((outcome) => [outcome.key, outcome]))
        return new Map(
          wishes.flatMap((wish) => {
            const outcome = byKey.get(wish.key)
            return outcome === undefined ? [] : [[wish, outcome] as const]
          }),
        )
      },
      waitersMax: options.waitersMax ?? 2000,
      intervalMinMs: options.intervalMinMs ?? 10,
      intervalMaxMs: options.intervalMaxMs ?? 250,
      onPollFailed: options.onPollFailed ?? (() => {}),
      ...(options.onWaiters === undefined ? {} : { onWaiters: options.onWaiters }),
    })
  }

  /** True where another wait would be refused: to be asked before publishing. */
  get isFull(): boolean {
    return this.#poller.isFull
  }

  /**
   * The first outcome of a transaction, as soon as there is one.
   *
   * @param key As in domain/transactions/canonical.ts.
   * @returns undefined after `timeoutMs`, or when closed.
   * @throws OperatingError `too_many_waiters`
   */
  wait(key: string, timeoutMs: number): Promise<StoredOutcome | undefined> {
    return this.#poller.wait({ key }, timeoutMs)
  }

  /** Ends every wait, without a result. */
  close(): void {
    this.#poller.close()
  }
}
