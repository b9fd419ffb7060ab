/**
 * A processor: takes partitions, reads them, and applies what it read batch by batch. Everything that goes wrong ends in
 * the same way: nothing is assumed, the partitions are taken anew and Postgres says where to go on.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import { IncidentError, OperatingError } from '#platform/errors.ts'
import type { KafkaAdmin } from '#platform/kafka/admin.ts'
import type { IngestChunk } from '#platform/kafka/partition-inbox.ts'
import type { ClaimedPartition, LedgerSession } from '#platform/postgres/ledger-store/session.ts'
import { BatchApplier, type BatchContext, type BatchResult } from '../apply/batch.ts'
import type { BatchSize } from './batch-size.ts'
import { type LastRecord, lastRecord } from './last-record.ts'
import { Backlog } from './selection.ts'

/** The reader as the processor sees it (platform/kafka/ingest-consumer.ts, or a simulated one). */
export interface IngestReader {
  start(): Promise<void>
  take(limits: { recordsMax: number; bytesMax: number; waitMs: number }): Promise<IngestChunk[]>
  stop(): Promise<void>
  /** Records between what was read and the end of each partition. */
  lag?(): { topic: string; partition: number; lag: bigint }[]
  /** Shows positions to lag tools; nothing reads them back. */
  commitInformational?(
    offsets: readonly { topic: string; partition: number; offset: bigint }[],
  ): Promise<void>
}

export interface ReaderHooks {
  claim(assignment: { topic: string; partition: number }[]): Promise<Map<string, bigint>>
  release(): Promise<void>
}

export interface ProcessorLogger {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface ProcessorOptions {
  readonly topicPrefix: string
  readonly makeReader: (hooks: ReaderHooks) => IngestReader
  readonly openSession: () => Promise<LedgerSession>
  /** Everything of the batch context but the session. */
  readonly context: Omit<BatchContext, 'session'>
  /** Turns a chunk's records into inputs; waits for the registry where it must. */
  readonly decode: (chunk: IngestChunk) => Promise<LedgerInput[]>
  readonly admin: Pick<KafkaAdmin, 'ranges'>
  readonly batchSize: BatchSize
  readonly batchBytesMax: number
  readonly logger: ProcessorLogger
  readonly onBatch: (result: BatchResult) => void
  readonly onIncident: (incident: IncidentError) => void
}

const TAKE_WAIT_MS = 200
/** Batches' worth of records that may wait for others (`after`) before reading pauses. */
const BACKLOG_BATCHES_MAX = 8
/** For what is under way in the loop when the reader has stopped. */
const STOP_TIMEOUT_MS = 2_000
const RETRY_PAUSE_MS = { first: 20, most: 2_000 }

export class Processor {
  private readonly options: ProcessorOptions
  private readonly backlog = new Backlog()
  private reader: IngestReader | null = null
  private session: LedgerSession | null = null
  /** A session being opened: the loop and a claim may need one at the same time, and two would be one that nobody closes. */
  private opening: Promise<LedgerSession> | null = null
  private applier: BatchApplier | null = null
  private claims = new Map<string, ClaimedPartition>()
  /** Where each claimed partition's next chunk must begin. */
  private expected = new Map<string, bigint>()
  /** Partitions whose last applied record has yet to be found in the log as it was. */
  private unverified = new Map<string, NonNullable<LastRecord>>()
  /** The ledger's positions as of the last batch. */
  private positions = new Map<string, bigint>()
  /** Taken from the reader, not yet decoded. */
  private raw: IngestChunk[] = []
  private generation = 0
  private stopping = false
  private applying: Promise<void> = Promise.resolve()
  private failures = 0
  private done: Promise<void> = Promise.resolve()

  constructor(options: ProcessorOptions) {
    this.options = options
  }

  /** Whether it has partitions and the last attempt to apply did not fail. */
  get ready(): boolean {
    return this.claims.size > 0 && this.failures === 0 && !this.stopping
  }

  /** Runs until `stop`. @throws IncidentError where it must not go on. */
  run(): Promise<void> {
    const running = this.loop()
    this.done = running.catch(() => undefined)
    return running
  }

  private async loop(): Promise<void> {
    try {
      await this.ensureSession()
      await this.startReader()
    } catch (error) {
      // A wrong set-up shows at once; what is only away is waited for.
      if (!(error instanceof OperatingError && error.retriable)) throw error
      await this.recover(error)
    }
    while (!this.stopping) {
      try {
        await this.step()
        this.failures = 0
      } catch (error) {
        await this.recover(error)
      }
    }
  }

  /** Finishes the batch in flight, lets go of the partitions and leaves; within 5 s. */
  async stop(): Promise<void> {
    this.stopping = true
    // Its release waits for the batch in flight. First, since a group that is just being joined would go on assigning partitions.
    await this.reader?.stop()
    // Unreferenced: the process need not wait for a limit that isn't reached.
    await Promise.race([this.done, new Promise((resolve) => setTimeout(resolve, STOP_TIMEOUT_MS).unref())])
    await this.opening?.catch(() => undefined)
    await this.session?.close()
  }

  /** Records between what was read and the end of each partition that is held here. */
  lag(): { topic: string; partition: number; lag: bigint }[] {
    return this.reader?.lag?.() ?? []
  }

  /** Shows the ledger's positions to tools that look at the consumer group. */
  async showPositions(): Promise<void> {
    const offsets = [...this.claims.values()].map(({ topic, partition }) => ({
      topic: `${this.options.topicPrefix}${topic}`,
      partition,
      offset: this.positions.get(`${topic}:${partition}`)!,
    }))
    await this.reader?.commitInformational?.(offsets)
  }

  private async startReader(): Promise<void> {
    const reader = this.options.makeReader({
      claim: (assignment) => this.claim(assignment),
      release: () => this.release(),
    })
    this.reader = reader
    try {
      await reader.start()
    } catch (error) {
      // One that could not start is of no further use, but may hold connections: the next step makes another.
      this.reader = null
      await reader.stop()
      throw error
    }
  }

  private async step(): Promise<void> {
    await this.ensureSession()
    if (this.reader === null) await this.startReader()
    if (this.backlog.inputs === 0) await this.fill(TAKE_WAIT_MS)
    const selection = this.backlog.select(this.options.batchSize.current, this.positions, Date.now())
    if (selection.length === 0) {
      // All that was read waits for other records; what they wait for may come, but memory has a bound.
      await (this.isFull(BACKLOG_BATCHES_MAX) ? this.pause(TAKE_WAIT_MS) : this.fill(TAKE_WAIT_MS))
      return
    }
    const { generation } = this
    let filling: Promise<void> = Promise.resolve()
    const applied = this.applier!.apply(selection, () => {
      // While Postgres writes, the next records are decoded.
      // Called twice when the batch is tried again with its ids checked; two fills at once would take the same chunks.
      if (!this.isFull(2)) filling = filling.then(() => this.fill(0))
      // Awaited below; failing before the commit is answered, it must not count as unhandled and end the process.
      filling.catch(() => undefined)
    })
    this.applying = applied.then(
      () => undefined,
      () => undefined,
    )
    const started = performance.now()
    const result = await applied.finally(() => filling.catch(() => undefined))
    this.options.batchSize.observe(result.consumed, performance.now() - started)
    this.positions = result.state.positions
    if (generation === this.generation) this.backlog.remove(selection, result.consumed)
    this.options.onBatch(result)
    await filling
  }

  /** Whether the backlog holds so many batches' worth, by number or by size. */
  private isFull(batches: number): boolean {
    const { batchSize, batchBytesMax } = this.options
    return this.backlog.inputs >= batchSize.current * batches || this.backlog.bytes >= batchBytesMax * batches
  }

  /**
   * Reads and decodes up to what one batch may take. What was taken from the reader stays in `raw` until it is decoded, so that
   * a registry that is away for a while loses nothing.
   */
  private async fill(waitMs: number): Promise<void> {
    if (this.raw.length === 0) {
      const recordsMax = this.options.batchSize.current
      this.raw = await this.reader!.take({ recordsMax, bytesMax: this.options.batchBytesMax, waitMs })
    }
    const { generation } = this
    for (let chunk = this.raw[0]; chunk !== undefined; chunk = this.raw[0]) {
      const inputs = await this.options.decode(chunk)
      if (generation !== this.generation) return
      this.raw.shift()
      const claim = this.claims.get(this.nameOf(chunk))
      if (claim !== undefined) this.accept(chunk, claim, inputs)
    }
  }

  /** Takes a chunk in where it begins at the expected position; anything else means that records were missed. */
  private accept(chunk: IngestChunk, claim: ClaimedPartition, inputs: LedgerInput[]): void {
    const name = this.nameOf(chunk)
    const expected = this.expected.get(name)
    if (expected !== chunk.fetchedOffset) {
      throw new OperatingError(
        'position_not_contiguous',
        `${name}: expected to read from ${expected}, got ${chunk.fetchedOffset}`,
        { retriable: true },
      )
    }
    this.expected.set(name, chunk.nextOffset)
    if (!this.verify(name, chunk)) return
    // What was read once more to be verified is applied already.
    const again = chunk.records.findIndex((record) => record.offset >= claim.nextOffset)
    const skipped = again < 0 ? chunk.records.length : again
    const records: (() => LastRecord)[] = chunk.records
      .slice(skipped)
      .map((record) => () => lastRecord(record))
    const isAhead = chunk.fetchedOffset > claim.nextOffset
    const from = isAhead ? chunk.fetchedOffset : claim.nextOffset
    const last = chunk.records.at(-1)
    const passed = last === undefined || last.offset < from ? from : last.offset + 1n
    const accepted = inputs.slice(skipped)
    if (chunk.nextOffset > passed) {
      const { topic, partition } = claim
      accepted.push({ type: 'advance', topic, partition, offset: chunk.nextOffset - 1n })
      records.push(() => null)
    }
    if (accepted.length !== records.length) throw new Error('one input a record')
    this.backlog.add({ claim, from, inputs: accepted, bytes: chunk.bytes, records })
  }

  private nameOf(chunk: { readonly topic: string; readonly partition: number }): string {
    return `${this.unprefixed(chunk.topic)}:${chunk.partition}`
  }

  private unprefixed(topic: string): string {
    return topic.slice(this.options.topicPrefix.length)
  }

  /** Takes the assigned partitions in Postgres; reading starts at what Postgres says. */
  private async claim(assignment: { topic: string; partition: number }[]): Promise<Map<string, bigint>> {
    this.drop()
    // No positions would read as an incident of each partition; a refusal is tried again by nobody, since the reader is stopped next.
    if (this.stopping) throw new OperatingError('processor_stopping', 'the processor is being stopped')
    if (assignment.length === 0) return new Map()
    const session = await this.ensureSession()
    const { admin, topicPrefix } = this.options
    const toClaim = await Promise.all(
      [...new Set(assignment.map((a) => a.topic))].map(async (topic) => {
        const ranges = new Map((await admin.ranges(topic)).map((r) => [r.partition, r]))
        return assignment
          .filter((a) => a.topic === topic)
          .map(({ partition }) => ({
            topic: this.unprefixed(topic),
            partition,
            initialOffset: ranges.get(partition)?.start ?? 0n,
          }))
      }),
    )
    const starts = new Map(toClaim.flat().map((p) => [`${p.topic}:${p.partition}`, p.initialOffset]))
    const claimed = await session.claim(toClaim.flat())
    for (const claim of claimed) this.hold(claim, starts.get(`${claim.topic}:${claim.partition}`)!)
    this.options.logger.info({ partitions: claimed.length }, 'took partitions')
    return new Map(
      claimed.map((c) => [
        `${topicPrefix}${c.topic}:${c.partition}`,
        this.expected.get(`${c.topic}:${c.partition}`)!,
      ]),
    )
  }

  /**
   * Keeps a claim. Reading begins at the last applied record where the log still has it: a topic that was made anew has another
   * one there, and nobody else would notice. @param logStart first offset that the log has
   */
  private hold(claim: ClaimedPartition, logStart: bigint): void {
    const name = `${claim.topic}:${claim.partition}`
    this.claims.set(name, claim)
    this.positions.set(name, claim.nextOffset)
    const { last } = claim
    if (last === null || last.offset < logStart) {
      this.expected.set(name, claim.nextOffset)
      return
    }
    this.unverified.set(name, { ...last, timestampMs: 0 })
    this.expected.set(name, last.offset)
  }

  /** Whether the log holds the last applied record as it was; if not, the partition stops. */
  private verify(name: string, chunk: IngestChunk): boolean {
    const last = this.unverified.get(name)
    if (last === undefined) return true
    const first = chunk.records[0]
    if (first === undefined && chunk.nextOffset <= last.offset) return true
    this.unverified.delete(name)
    const isSame = first?.offset === last.offset && lastRecord(first)!.hash.equals(last.hash)
    if (isSame) return true
    this.claims.delete(name)
    this.options.onIncident(
      new IncidentError(
        'topic_recreated',
        `${name}: the record at offset ${last.offset} isn't the one that was applied; the topic was made anew or is another cluster's`,
      ),
    )
    return false
  }

  /** The partitions go to somebody else: the batch in flight is finished, what was only read is dropped. */
  private async release(): Promise<void> {
    const claims = [...this.claims.values()]
    this.drop()
    await this.applying.catch(() => undefined)
    if (claims.length > 0 && this.session?.isBroken === false) await this.session.release(claims)
  }

  private drop(): void {
    this.generation += 1
    this.claims.clear()
    this.expected.clear()
    this.unverified.clear()
    this.raw = []
    this.backlog.clear()
  }

  /** After any failure: a new session and a new reader, so that positions come from Postgres again. */
  private async recover(error: unknown): Promise<void> {
    if (this.stopping) return
    if (error instanceof IncidentError) {
      this.options.onIncident(error)
      throw error
    }
    if (!(error instanceof OperatingError)) throw error
    this.failures += 1
    const pauseMs = Math.min(RETRY_PAUSE_MS.first * 2 ** Math.min(this.failures, 10), RETRY_PAUSE_MS.most)
    if (error.code === 'publish_backlog' || error.code === 'registry_unreachable') {
      if (this.failures % 50 === 1) this.options.logger.warn({ code: error.code }, error.message)
      await this.pause(pauseMs)
      return
    }
    this.options.logger.warn({ code: error.code, failures: this.failures }, error.message)
    this.options.batchSize.shrink()
    this.drop()
    const { session, reader } = this
    this.session = null
    await session?.close()
    // Kept until it has stopped: a stop of the whole must find it.
    await reader?.stop()
    this.reader = null
    await this.pause(pauseMs)
  }

  private async pause(ms: number): Promise<void> {
    const until = performance.now() + ms
    while (!this.stopping && performance.now() < until) await sleep(Math.min(50, ms))
  }

  /** A session that works: the old one where it still does. */
  private ensureSession(): Promise<LedgerSession> {
    if (this.session !== null && !this.session.isBroken) return Promise.resolve(this.session)
    this.opening ??= this.openSession().finally(() => {
      this.opening = null
    })
    return this.opening
  }

  private async openSession(): Promise<LedgerSession> {
    const broken = this.session
    this.session = null
    await broken?.close()
    const session = await this.options.openSession()
    this.session = session
    this.applier = new BatchApplier({ ...this.options.context, session })
    return session
  }
}
