/**
 * Publishes what reconciliation found, in sequence: records and position in one Kafka transaction, as the ledger's publisher does.
 * One is active; any error drops the producer, and taking over again (fence, read the position, go on) is the only way back.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { IncidentError, OperatingError } from '#platform/errors.ts'
import type { FencedProducer, GroupPosition } from '#platform/kafka/fenced-producer.ts'
import type { ResultsStore, ResultValue } from '#platform/postgres/reconciliation/results.ts'

export interface ResultsPublisherOptions {
  readonly ledger: string
  /** Full name. */
  readonly topic: string
  readonly store: Pick<ResultsStore, 'head' | 'readAfter' | 'notePublished'>
  /** The database's timeline: raised at every restore. */
  readonly readTimeline: () => Promise<bigint>
  readonly makeProducer: () => Pick<FencedProducer, 'fence' | 'readPosition' | 'publish' | 'close'>
  /** The last record that is visible; undefined where there is none. Asked after fencing: brokers forget positions. */
  readonly readLast: () => Promise<Pick<ResultValue, 'timeline' | 'sequence'> | undefined>
  readonly encode: (value: ResultValue) => Buffer
  readonly lease: { take(): Promise<boolean>; release(): Promise<void> }
  readonly leaseRenewMs: number
  readonly logger: { warn(fields: object, message: string): void }
  readonly onPublished: (sequence: bigint) => void
  readonly onFailure: (code: string) => void
  readonly onIncident: (incident: IncidentError) => void
}

/** Sequences of one Kafka transaction: each has up to 5,000 records. */
const ROUND_MAX = 4
const IDLE_MS = 500
const RETRY_PAUSE_MS = { first: 250, most: 30_000 }
const STOP_MS = 2_500

interface Active {
  readonly producer: ReturnType<ResultsPublisherOptions['makeProducer']>
  readonly timeline: bigint
  readonly position: GroupPosition
  sequence: bigint
}

export class ResultsPublisher {
  readonly #options: ResultsPublisherOptions
  readonly #stopping = new AbortController()
  #active: Active | null = null
  #failures = 0
  #isStopped = false
  #done: Promise<void> = Promise.resolve()

  constructor(options: ResultsPublisherOptions) {
    this.#options = options
  }

  /** Whether it publishes, or stands by for another that does. */
  get ready(): boolean {
    return this.#failures === 0 && !this.#isStopped
  }

  /** Runs until `stop`. An incident stops publishing, not the process: nothing is lost in Postgres. */
  run(): Promise<void> {
    this.#done = this.#loop()
    return this.#done
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await Promise.race([this.#done.catch(() => undefined), sleep(STOP_MS, undefined, { ref: false })])
    await this.#resign()
    await this.#options.lease.release()
  }

  async #loop(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted && !this.#isStopped) {
      let pauseMs = 0
      try {
        pauseMs = await this.#round()
        this.#failures = 0
      } catch (error) {
        pauseMs = await this.#failed(error)
      }
      if (pauseMs > 0) await sleep(pauseMs, undefined, { signal }).catch(() => undefined)
    }
    // Until it is stopped: a part that ends would end the process.
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve))
  }

  /** @returns how long to wait before the next one, ms */
  async #round(): Promise<number> {
    const { lease, leaseRenewMs } = this.#options
    if (!(await lease.take())) {
      await this.#resign()
      return leaseRenewMs
    }
    this.#active ??= await this.#takeOver()
    return (await this.#publish(this.#active)) ? 0 : IDLE_MS
  }

  async #takeOver(): Promise<Active> {
    const { makeProducer, readTimeline, readLast, store, ledger, topic } = this.#options
    const producer = makeProducer()
    try {
      await producer.fence()
      const timeline = await readTimeline()
      const groupId = `tallystream.reconciler.${ledger}.${timeline}`
      const position: GroupPosition = { groupId, topic, partition: 0 }
      const committed = await producer.readPosition(position)
      const last = await readLast()
      const seen = last?.timeline === timeline ? last.sequence : undefined
      const head = await store.head()
      // Where Kafka has forgotten both, what Postgres noted behind a commit has left.
      const sequence = agreed(committed, seen) ?? head.published
      this.#expectWhole(sequence, head)
      // What the one before published but could no longer note.
      await store.notePublished(sequence)
      return { producer, timeline, position, sequence }
    } catch (error) {
      await producer.close()
      throw error
    }
  }

  #expectWhole(sequence: bigint, head: { readonly sequence: bigint; readonly published: bigint }): void {
    const { topic } = this.#options
    if (sequence > head.sequence) {
      throw new IncidentError(
        'database_behind_results',
        `${topic} has results up to ${sequence}, but the database ends at ${head.sequence}: it was restored to an earlier moment`,
      )
    }
    if (sequence < head.published) {
      throw new IncidentError(
        'results_position_lost',
        `results up to ${head.published} were published, but Kafka has them up to ${sequence}: the topic ${topic} was made anew`,
      )
    }
  }

  /** @returns whether there was something */
  async #publish(active: Active): Promise<boolean> {
    const { store, topic, encode, onPublished } = this.#options
    const { producer, timeline, position } = active
    const records = await store.readAfter(active.sequence, ROUND_MAX)
    const last = records.at(-1)?.sequence
    if (last === undefined) return false
    const messages = records.map((record) => ({
      key: `${record.pair}/${record.id}`,
      value: encode({ timeline, ...record }),
      partition: 0,
    }))
    await producer.publish({
      messagesByTopic: new Map([[topic, messages]]),
      position: { ...position, offset: last },
    })
    active.sequence = last
    await store.notePublished(last)
    onPublished(last)
    return true
  }

  /** @returns how long to wait, ms */
  async #failed(error: unknown): Promise<number> {
    const { logger, onIncident, onFailure } = this.#options
    await this.#resign()
    if (error instanceof IncidentError) {
      this.#isStopped = true
      onIncident(error)
      return 0
    }
    this.#failures += 1
    onFailure(error instanceof OperatingError ? error.code : 'unexpected')
    const pauseMs = Math.min(RETRY_PAUSE_MS.first * 2 ** Math.min(this.#failures, 10), RETRY_PAUSE_MS.most)
    logger.warn({ err: error, pauseMs }, 'publishing results of reconciliation failed and is tried again')
    return pauseMs
  }

  async #resign(): Promise<void> {
    const active = this.#active
    this.#active = null
    await active?.producer.close()
  }
}

/** A torn transaction may have left one without the other: what is sent twice can be told by its sequence, what isn't sent can't. */
const agreed = (committed: bigint | undefined, seen: bigint | undefined): bigint | undefined => {
  if (committed === undefined || seen === undefined) return committed ?? seen
  const [less, more] = committed < seen ? [committed, seen] : [seen, committed]
  return more - less <= BigInt(ROUND_MAX) ? less : seen
}
