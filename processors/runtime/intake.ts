/**
 * From the reader to decoded chunks. A partition whose next chunk waits for a writer's schema holds up nobody else: the chunk
 * stays here, nothing more of the partition is taken, and the registry is asked again, more slowly each time.
 */
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import { OperatingError } from '#platform/errors.ts'
import type { IngestChunk } from '#platform/kafka/partition-inbox.ts'
import { atMost } from '#platform/time/clock.ts'
import type { IngestReader, ProcessorOptions } from './processor-options.ts'

export type IntakeOptions = Pick<ProcessorOptions, 'isReady' | 'prepare' | 'decode' | 'clock' | 'logger'>

export type IntakeLimits = Parameters<IngestReader['take']>[0] & { readonly except: ReadonlySet<string> }

/** A chunk that waits for a schema. */
interface Waiting {
  readonly chunk: IngestChunk
  /** Questions that failed. */
  failures: number
  /** When the registry may be asked again. */
  dueAtMs: number
  isAsking: boolean
  isReady: boolean
  /** What made a question fail for good. */
  fault: unknown
}

/** An answering registry takes a few milliseconds: so long everybody waits, rather than coming back for the chunk later. */
const ANSWER_WAIT_MS = 50
const ASK_AGAIN_MS = { first: 100, most: 2_000 }
/** One warning in so many failures of a partition. */
const WARN_EVERY = 30

/** As the reader names partitions: topic with the ledger's prefix. */
const keyOf = ({ topic, partition }: { readonly topic: string; readonly partition: number }): string =>
  `${topic}:${partition}`

export class Intake {
  private readonly options: IntakeOptions
  private waiting = new Map<string, Waiting>()
  /** Everything is there to decode them. */
  private ready: IngestChunk[] = []

  constructor(options: IntakeOptions) {
    this.options = options
  }

  /** How many partitions wait for a schema. */
  get waitingForSchema(): number {
    return this.waiting.size
  }

  /** Whether the registry left a question unanswered that a partition waits for. */
  get isFailing(): boolean {
    return [...this.waiting.values()].some(({ failures }) => failures > 0)
  }

  /** Drops all of it: the partitions are somebody else's now. */
  clear(): void {
    this.waiting = new Map()
    this.ready = []
  }

  /** Drops what is here of one partition, 'topic:partition' as the reader names it. */
  drop(partition: string): void {
    this.waiting.delete(partition)
    this.ready = this.ready.filter((chunk) => keyOf(chunk) !== partition)
  }

  /**
   * Takes from the reader, unless what was taken before isn't decoded yet. A registry that is silent isn't waited for.
   * @param limits.except as of the reader; those that wait for a schema are added
   * @throws what made a question to the registry fail, but that it is away
   */
  async read(reader: IngestReader, limits: IntakeLimits): Promise<void> {
    if (this.ready.length > 0) return
    const except = new Set([...limits.except, ...this.waiting.keys()])
    const waitMs = this.waiting.size === 0 ? limits.waitMs : Math.min(limits.waitMs, ANSWER_WAIT_MS)
    const ready: IngestChunk[] = []
    const chunks = await reader.take({ ...limits, waitMs, except })
    // Only now: while the reader waited, partitions may have come.
    const { waiting } = this
    for (const chunk of chunks) {
      const isReady = this.options.prepare === undefined || this.options.isReady?.(chunk) === true
      if (isReady) ready.push(chunk)
      else waiting.set(keyOf(chunk), waitingOf(chunk))
    }
    await this.ask(waiting)
    // Another assignment since.
    if (this.waiting !== waiting) return
    for (const [key, { chunk, isReady, fault }] of waiting) {
      if (fault !== null) throw fault
      if (!isReady) continue
      waiting.delete(key)
      ready.push(chunk)
    }
    this.ready = ready
  }

  /** Decodes the next chunk, which stays here where that fails. @returns null where there is none, or it was dropped meanwhile */
  async next(): Promise<{ readonly chunk: IngestChunk; readonly inputs: LedgerInput[] } | null> {
    const [chunk] = this.ready
    if (chunk === undefined) return null
    const inputs = await this.options.decode(chunk)
    if (this.ready[0] !== chunk) return null
    this.ready.shift()
    return { chunk, inputs }
  }

  /** Asks for what is due; waits only for those that are asked the first time: the others may well fail again. */
  private async ask(waiting: Map<string, Waiting>): Promise<void> {
    const { clock } = this.options
    const now = clock.monotonicMs()
    const fresh: Promise<void>[] = []
    for (const each of waiting.values()) {
      if (each.isAsking || each.isReady || each.dueAtMs > now) continue
      const isFresh = each.failures === 0
      const answer = this.askFor(each)
      if (isFresh) fresh.push(answer)
    }
    if (fresh.length > 0) await atMost(clock, ANSWER_WAIT_MS, Promise.all(fresh))
  }

  private async askFor(waiting: Waiting): Promise<void> {
    waiting.isAsking = true
    try {
      await this.options.prepare?.(waiting.chunk)
      waiting.isReady = true
    } catch (error) {
      if (error instanceof OperatingError && error.retriable) this.failed(waiting, error)
      else waiting.fault = error
    } finally {
      waiting.isAsking = false
    }
  }

  private failed(waiting: Waiting, error: OperatingError): void {
    const pauseMs = Math.min(ASK_AGAIN_MS.first * 2 ** Math.min(waiting.failures, 10), ASK_AGAIN_MS.most)
    waiting.failures += 1
    waiting.dueAtMs = this.options.clock.monotonicMs() + pauseMs
    const { topic, partition, fetchedOffset } = waiting.chunk
    if (this.waiting.get(keyOf(waiting.chunk)) !== waiting || waiting.failures % WARN_EVERY !== 1) return
    this.options.logger.warn(
      { code: error.code, topic, partition, offset: fetchedOffset.toString(), failures: waiting.failures },
      `a partition waits for a schema: ${error.message}`,
    )
  }
}

const waitingOf = (chunk: IngestChunk): Waiting => ({
  chunk,
  failures: 0,
  dueAtMs: 0,
  isAsking: false,
  isReady: false,
  fault: null,
})
