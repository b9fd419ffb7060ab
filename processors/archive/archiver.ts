/**
 * The archiver of a ledger: closes segments of batch records and of the ingest records they decided, and stores them. One is
 * active at a time, by a lease; two at once do no harm, since only one of them can store the next manifest.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { IncidentError, OperatingError } from '#platform/errors.ts'
import type { ArchiveProgress } from '#platform/postgres/archive-progress.ts'
import { Archive, type KeptManifest } from './archive.ts'
import { type SegmentContext, writeSegment } from './segment.ts'

export interface ArchiverLogger {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export interface ArchiverOptions extends SegmentContext {
  readonly progress: Pick<ArchiveProgress, 'readHead' | 'hashOf' | 'waitingBytes' | 'note'>
  /** How long a batch may wait to be archived. */
  readonly segmentSecondsMax: number
  readonly lease: { take(): Promise<boolean>; release(): Promise<void> }
  readonly leaseRenewMs: number
  readonly logger: ArchiverLogger
  readonly onSegment: (segment: KeptManifest) => void
  readonly onIncident: (incident: IncidentError) => void
}

const POLL_MS = 1_000
const RETRY_PAUSE_MS = { first: 250, most: 30_000 }
/** Postgres packs batch records about so much: only for the guess whether a segment is full. */
const PACKED = 4

export class Archiver {
  private readonly options: ArchiverOptions
  private readonly archive: Archive
  /** The newest manifest, checked against the database; undefined = not looked yet. */
  private tail: KeptManifest | null | undefined
  private waitingSinceMs: number | null = null
  private failures = 0
  private stopped: IncidentError | null = null
  private readonly stopping = new AbortController()
  private done: Promise<void> = Promise.resolve()

  constructor(options: ArchiverOptions) {
    this.options = options
    this.archive = new Archive(options.storage, options.ledger)
  }

  /** Whether it archives, or stands by for another that does. */
  get ready(): boolean {
    return this.failures === 0 && this.stopped === null
  }

  /** Runs until `stop`. An incident stops archiving, not the process: money goes on, and what waits for the archive stays. */
  run(): Promise<void> {
    this.done = this.loop()
    return this.done
  }

  /** Lets the next one take over; what is under way and not stored yet is done again by it. */
  async stop(): Promise<void> {
    this.stopping.abort()
    const released = this.done.catch(() => undefined).then(() => this.options.lease.release())
    await Promise.race([released, sleep(3_000, undefined, { ref: false })])
  }

  /**
   * Archives everything up to the head of now, and ends.
   * @returns the segments written
   * @throws IncidentError, OperatingError as writeSegment; `archive_busy` where another archiver holds the lease
   */
  async archiveNow(signal: AbortSignal = this.stopping.signal): Promise<KeptManifest[]> {
    const written: KeptManifest[] = []
    const { sequence } = await this.options.progress.readHead()
    try {
      while (!signal.aborted) {
        if (!(await this.options.lease.take())) {
          throw new OperatingError('archive_busy', 'another archiver is at work', { retriable: true })
        }
        const tail = await this.openTail()
        if (lastOf(tail) >= sequence) break
        const segment = await this.writeNext(tail)
        if (segment !== null) written.push(segment)
      }
    } finally {
      await this.options.lease.release()
    }
    return written
  }

  private async loop(): Promise<void> {
    const { signal } = this.stopping
    while (!signal.aborted) {
      try {
        const pauseMs = (await this.options.lease.take()) ? await this.step() : this.standBy()
        this.failures = 0
        await this.pause(pauseMs)
      } catch (error) {
        await this.failed(error)
      }
    }
  }

  private standBy(): number {
    this.tail = undefined
    this.waitingSinceMs = null
    return this.options.leaseRenewMs
  }

  /** @returns how long to wait then, ms */
  private async step(): Promise<number> {
    const tail = await this.openTail()
    if (!(await this.isDue(tail))) return Math.min(POLL_MS, this.options.leaseRenewMs)
    await this.writeNext(tail)
    this.waitingSinceMs = null
    return 0
  }

  /** The newest manifest of the storage, which must be of this database's past. */
  private async openTail(): Promise<KeptManifest | null> {
    if (this.tail !== undefined) return this.tail
    await this.archive.refresh()
    const tail = await this.archive.last()
    if (tail !== null) {
      await this.checkPast(tail)
      await this.note(tail)
    }
    this.tail = tail
    return tail
  }

  private async checkPast({ manifest }: KeptManifest): Promise<void> {
    const { progress } = this.options
    const last = BigInt(manifest.batches.last)
    const head = await progress.readHead()
    if (last > head.sequence) {
      throw new IncidentError(
        'database_behind_archived',
        `batch ${last} is archived, but the database ends at ${head.sequence}: it was restored to an earlier moment. Run: npx tallystream recover`,
      )
    }
    const hash = await progress.hashOf(last)
    if (hash !== null && hash.toString('hex') !== manifest.batches.head_hash) {
      throw new IncidentError(
        'archive_other_past',
        `batch ${last} of the database isn't the one that is archived in ${this.options.storage.location}`,
      )
    }
  }

  private async isDue(tail: KeptManifest | null): Promise<boolean> {
    const { progress, segmentBytesMax, segmentSecondsMax } = this.options
    const after = lastOf(tail)
    if ((await progress.readHead()).sequence <= after) {
      this.waitingSinceMs = null
      return false
    }
    this.waitingSinceMs ??= performance.now()
    if (performance.now() - this.waitingSinceMs >= segmentSecondsMax * 1_000) return true
    return (await progress.waitingBytes(after)) * PACKED >= segmentBytesMax
  }

  private async writeNext(tail: KeptManifest | null): Promise<KeptManifest | null> {
    const head = await this.options.progress.readHead()
    const segment = await writeSegment(this.options, tail, head)
    if (segment === null) {
      this.options.logger.warn({}, 'another archiver was first')
      this.tail = undefined
      return null
    }
    this.tail = segment
    await this.note(segment)
    const { number, batches, records } = segment.manifest
    this.options.logger.info(
      {
        manifest: number,
        through: batches.last,
        records: records.reduce((sum, each) => sum + each.count, 0),
      },
      'archived',
    )
    this.options.onSegment(segment)
    return segment
  }

  private async note(tail: KeptManifest): Promise<void> {
    await this.options.progress.note(this.archive.progressOf(tail))
  }

  private async failed(error: unknown): Promise<void> {
    if (this.stopping.signal.aborted) return
    this.tail = undefined
    if (!(error instanceof OperatingError)) throw error
    if (error instanceof IncidentError || !error.retriable) {
      this.stopped = error instanceof IncidentError ? error : asIncident(error)
      this.options.onIncident(this.stopped)
      await this.options.lease.release()
      await this.pause(Number.POSITIVE_INFINITY)
      return
    }
    this.failures += 1
    this.options.logger.warn({ code: error.code, failures: this.failures }, error.message)
    await this.pause(Math.min(RETRY_PAUSE_MS.first * 2 ** Math.min(this.failures, 8), RETRY_PAUSE_MS.most))
  }

  private async pause(ms: number): Promise<void> {
    const { signal } = this.stopping
    do {
      await sleep(Math.min(ms, 60_000), undefined, { signal }).catch(() => undefined)
    } while (ms === Number.POSITIVE_INFINITY && !signal.aborted)
  }
}

const lastOf = (tail: KeptManifest | null): bigint => BigInt(tail?.manifest.batches.last ?? 0)

const asIncident = (error: OperatingError): IncidentError =>
  new IncidentError(error.code, error.message, { cause: error })
