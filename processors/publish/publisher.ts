/**
 * The publisher of a ledger: batch records in sequence → Redis → Kafka, outputs and position in one Kafka transaction.
 * One is active at a time; any error drops the producer, and taking over again (fence, read the position, go on) is the only way back.
 */
import { IncidentError, OperatingError } from '#platform/errors.ts'
import type { GroupPosition, OutputMessage } from '#platform/kafka/fenced-producer.ts'
import type { BatchStore, StoredBatch } from '#platform/postgres/batch-store.ts'
import { atMost, type Clock } from '#platform/time/clock.ts'
import type { EntryMaker } from './entry-maker.ts'
import { type BatchOf, messagesOf, type Round } from './messages.ts'
import { publisherGroup, resumeAfter } from './position.ts'

/** What the publisher needs of a producer (platform/kafka/fenced-producer.ts, or a simulated one). */
export interface PublishingProducer {
  fence(): Promise<void>
  readPosition(position: GroupPosition): Promise<bigint | undefined>
  publish(batch: {
    messagesByTopic: ReadonlyMap<string, readonly OutputMessage[]>
    position: GroupPosition & { offset: bigint }
  }): Promise<void>
  close(): Promise<void>
}

/** The cache as the publisher sees it; it never fails because of Redis. */
export interface BalanceSink {
  apply(balances: ReadonlyMap<string, Buffer>, batch: StoredBatch): Promise<void>
  touch(): Promise<void>
}

export interface PublisherLogger {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export interface PublisherOptions {
  readonly ledger: string
  readonly topicPrefix: string
  readonly store: Pick<BatchStore, 'readAfter' | 'readHead' | 'notePublished'>
  readonly makeProducer: () => PublishingProducer
  /** The last batch whose outputs are visible, asked after fencing; absent: the committed position alone counts. */
  readonly lastPublished?: () => Promise<bigint | undefined>
  /** A cache writer for a take-over: everything up to the position has left already. */
  readonly makeSink: (from: { sequence: bigint; recordedAtMs: number; timeline: bigint }) => BalanceSink
  /** Makes `ledger.entries`; null switches them off. */
  readonly entries: Pick<EntryMaker, 'prepare' | 'of'> | null
  readonly batchOf: BatchOf
  readonly lease: { take(): Promise<boolean>; release(): Promise<void> }
  readonly leaseRenewMs: number
  readonly clock: Clock
  readonly logger: PublisherLogger
  readonly onPublished: (round: Round, milliseconds: number) => void
  readonly onTakeOver: () => void
  /** A failure that it goes on after. */
  readonly onFailure?: (code: string) => void
  readonly onIncident: (incident: IncidentError) => void
}

/** Bounds of one Kafka transaction. */
const ROUND = { batchesMax: 64, bytesMax: 4 * 1024 * 1024 }
const IDLE_WAIT_MS = { first: 2, most: 25 }
const RETRY_PAUSE_MS = { first: 50, most: 2_000 }
/** For the round under way when it is to stop, for closing its producer, and for giving the lease back. */
const STOP_MS = { round: 2_200, close: 800, lease: 400 }
/** A step (taking over, a round) that takes longer than this loses the lease: its publisher may be cut off from Kafka. */
const STEP_LEASE_MAX_MS = 5_000
const NOTE_EVERY_MS = 100
const TOUCH_EVERY_MS = 500

export const publisherTransactionalId = (ledger: string): string => `tallystream.publisher.${ledger}`

interface Active {
  readonly producer: PublishingProducer
  readonly sink: BalanceSink
  sequence: bigint
  hash: Buffer | null
}

export class Publisher {
  private readonly options: PublisherOptions
  private active: Active | null = null
  private stopping = false
  private wakeUp: (() => void) | null = null
  private idleMs: number = IDLE_WAIT_MS.first
  private leaseUntil = 0
  private noted = { sequence: -1n, atMs: 0 }
  private touchedAtMs = 0
  private failures = 0
  /** Batches of the next round: fewer after each failure, so that a round gets done in the end. */
  private roundBatches = ROUND.batchesMax
  private renewing: Promise<void> = Promise.resolve()
  private done: Promise<void> = Promise.resolve()

  constructor(options: PublisherOptions) {
    this.options = options
  }

  /** Whether it publishes, or stands by for another that does, without failures. */
  get ready(): boolean {
    return this.failures === 0 && !this.stopping
  }

  get isActive(): boolean {
    return this.active !== null
  }

  /** Runs until `stop`. @throws IncidentError where it must not go on */
  run(): Promise<void> {
    const running = this.loop()
    this.done = running.catch(() => undefined)
    return running
  }

  /** A batch was committed here: no need to wait for the next look. */
  wake(): void {
    this.wakeUp?.()
  }

  /** Finishes the transaction under way and lets the next one take over; within 3.5 s. */
  async stop(): Promise<void> {
    const { clock, lease } = this.options
    this.stopping = true
    this.wake()
    await atMost(clock, STOP_MS.round, this.done)
    if (this.active !== null) await atMost(clock, STOP_MS.close, this.active.producer.close())
    // A renewal that is still under way would take back what is given up. The lease ends by itself, too.
    await atMost(
      clock,
      STOP_MS.lease,
      this.renewing.then(() => lease.release()),
    )
  }

  private async loop(): Promise<void> {
    while (!this.stopping) {
      try {
        if (!(await this.holdLease())) {
          await this.resign()
          await this.wait(this.options.leaseRenewMs)
          continue
        }
        this.active ??= await this.keepingLease(() => this.takeOver())
        const { active } = this
        await this.keepingLease(() => this.publishNext(active))
        this.failures = 0
      } catch (error) {
        await this.failed(error)
      }
    }
    if (this.active !== null) await this.note(this.active, true).catch(() => undefined)
  }

  private async holdLease(): Promise<boolean> {
    const now = this.options.clock.monotonicMs()
    if (this.active !== null && now < this.leaseUntil) return true
    const held = await this.options.lease.take()
    this.leaseUntil = now + this.options.leaseRenewMs
    return held
  }

  /**
   * Keeps the lease while a step is under way, up to a limit. Without that, on a machine that is too busy to finish a step within
   * the lease's life, publishers would take over from each other for ever and none would get anywhere.
   */
  private async keepingLease<Result>(step: () => Promise<Result>): Promise<Result> {
    const { clock, lease, leaseRenewMs } = this.options
    const until = clock.monotonicMs() + STEP_LEASE_MAX_MS
    let isOver = false
    let cancel = () => {}
    const renewLater = (): void => {
      cancel = clock.after(leaseRenewMs, () => {
        if (isOver || clock.monotonicMs() > until) return
        this.renewing = lease.take().then(
          (isHeld) => {
            if (isHeld && !isOver) renewLater()
          },
          // The step itself meets whatever is wrong with Postgres.
          () => undefined,
        )
      })
    }
    renewLater()
    try {
      return await step()
    } finally {
      isOver = true
      cancel()
    }
  }

  private async takeOver(): Promise<Active> {
    const { options } = this
    const producer = options.makeProducer()
    try {
      await producer.fence()
      // Before the positions: whoever is held up behind them finds later that others have published, and must not take it for a loss.
      const { publishedSequence } = await options.store.readHead()
      const committed = await producer.readPosition(publisherGroup(options.topicPrefix, options.ledger))
      const seen = await options.lastPublished?.()
      const head = await options.store.readHead()
      const sequence = resumeAfter(committed, seen, { ...head, publishedSequence })
      options.onTakeOver()
      const positions = { committed: String(committed), seen: String(seen), head: String(head.sequence) }
      options.logger.info({ sequence: String(sequence), ...positions }, 'publishing')
      const sink = options.makeSink({ sequence, recordedAtMs: head.tickMs, timeline: head.timeline })
      return { producer, sink, sequence, hash: null }
    } catch (error) {
      await producer.close()
      throw error
    }
  }

  private async publishNext(active: Active): Promise<void> {
    const { options } = this
    const batches = await options.store.readAfter(active.sequence, {
      batchesMax: this.roundBatches,
      bytesMax: ROUND.bytesMax,
    })
    if (batches.length === 0) {
      await this.note(active, false)
      await this.idle(active)
      return
    }
    this.idleMs = IDLE_WAIT_MS.first
    const started = this.options.clock.monotonicMs()
    const { entries } = options
    await entries?.prepare(batches)
    const entriesOf = entries && ((processed: Buffer) => entries.of(processed))
    const round = messagesOf(batches, active, options.topicPrefix, entriesOf, options.batchOf)
    await active.sink.apply(round.balances, round.last)
    await active.producer.publish({
      messagesByTopic: round.messagesByTopic,
      position: {
        ...publisherGroup(options.topicPrefix, options.ledger),
        offset: round.last.sequence,
      },
    })
    this.roundBatches = Math.min(this.roundBatches * 2, ROUND.batchesMax)
    active.sequence = round.last.sequence
    active.hash = round.last.hash
    this.touchedAtMs = this.options.clock.monotonicMs()
    options.onPublished(round, this.options.clock.monotonicMs() - started)
    await this.note(active, false)
  }

  private async idle(active: Active): Promise<void> {
    if (this.options.clock.monotonicMs() - this.touchedAtMs > TOUCH_EVERY_MS) {
      this.touchedAtMs = this.options.clock.monotonicMs()
      await active.sink.touch()
    }
    await this.wait(this.idleMs)
    this.idleMs = Math.min(this.idleMs * 1.5, IDLE_WAIT_MS.most)
  }

  private async wait(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = this.options.clock.after(ms, resolve)
      this.wakeUp = () => {
        cancel()
        this.idleMs = IDLE_WAIT_MS.first
        resolve()
      }
    })
    this.wakeUp = null
  }

  /** The lower bound in Postgres: for back-pressure, and to notice a lost position. */
  private async note(active: Active, now: boolean): Promise<void> {
    if (active.sequence === this.noted.sequence) return
    if (!now && this.options.clock.monotonicMs() - this.noted.atMs < NOTE_EVERY_MS) return
    await this.options.store.notePublished(active.sequence)
    this.noted = { sequence: active.sequence, atMs: this.options.clock.monotonicMs() }
  }

  private async failed(error: unknown): Promise<void> {
    await this.resign()
    if (error instanceof IncidentError) {
      this.options.onIncident(error)
      throw error
    }
    if (!(error instanceof OperatingError)) throw error
    this.failures += 1
    this.options.onFailure?.(error.code)
    this.roundBatches = Math.max(1, Math.floor(this.roundBatches / 4))
    this.options.logger.warn({ code: error.code, failures: this.failures }, error.message)
    const pauseMs = Math.min(RETRY_PAUSE_MS.first * 2 ** Math.min(this.failures, 8), RETRY_PAUSE_MS.most)
    await this.wait(pauseMs)
  }

  private async resign(): Promise<void> {
    const { active } = this
    this.active = null
    await active?.producer.close()
  }
}
