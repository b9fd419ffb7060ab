/**
 * Notes for the audit log that nobody waits for: access through the API. They are gathered, equal reads counted, and appended about
 * twice a second. What may be lost: notes of the last half second when the process is killed; and, while Postgres is away longer than
 * the buffer lasts, notes beyond it, which the log then says (`audit.lost`, with their number). Where the reply to a commit is lost,
 * notes may stand twice.
 */
import type { AuditEntry, AuditLog } from './audit-log.ts'

export interface AuditLogBufferOptions {
  readonly log: Pick<AuditLog, 'append'>
  readonly flushEveryMs?: number
  /** Different notes that may wait. */
  readonly entriesMax?: number
  readonly nowMs: () => number
  /** At every append that fails; what waits is tried again. */
  readonly onFailure: (error: unknown) => void
  /** After each append, and at the end. @param lost since the last one that could be appended */
  readonly onAppended?: (state: { readonly waiting: number; readonly lost: number }) => void
}

/** A note, and what tells it from others like it: only the first one's trace is kept of reads that are counted together. */
export interface AccessNote extends AuditEntry {
  readonly traceId?: string
  /** Never counted together with others. */
  readonly isChange: boolean
}

/** Of one append. */
const APPEND_MAX = 1_000
const CLOSE_TIMEOUT_MS = 2_000

interface Waiting {
  readonly note: AccessNote
  count: number
}

export class AuditLogBuffer {
  private readonly options: Required<AuditLogBufferOptions>
  private readonly timer: NodeJS.Timeout
  private waiting = new Map<string, Waiting>()
  private changes = 0
  private lostCount = 0
  private flushing: Promise<void> | null = null

  constructor(options: AuditLogBufferOptions) {
    this.options = { flushEveryMs: 500, entriesMax: 20_000, onAppended: () => undefined, ...options }
    this.timer = setInterval(() => void this.flush(), this.options.flushEveryMs)
    this.timer.unref()
  }

  /** Notes something; returns at once and never throws. */
  note(note: AccessNote): void {
    const { actor, action, subject, details } = note
    if (note.isChange) this.changes += 1
    const name = JSON.stringify([actor, action, subject, details, note.isChange ? this.changes : null])
    const known = this.waiting.get(name)
    if (known !== undefined) known.count += 1
    else if (this.waiting.size < this.options.entriesMax) this.waiting.set(name, { note, count: 1 })
    else this.lostCount += 1
  }

  /** Different notes that wait, and how many more were lost since the last append. */
  get state(): { readonly waiting: number; readonly lost: number } {
    return { waiting: this.waiting.size, lost: this.lostCount }
  }

  /** Appends what waits. Never throws; what can't be appended now waits on. */
  flush(): Promise<void> {
    this.flushing ??= this.appendAll().finally(() => {
      this.flushing = null
    })
    return this.flushing
  }

  /** Appends what waits, as far as that is possible at once; `state` says what is left. */
  async close(): Promise<void> {
    clearInterval(this.timer)
    const limit = new Promise((resolve) => setTimeout(resolve, CLOSE_TIMEOUT_MS).unref())
    await Promise.race([this.flushRest(), limit])
  }

  private async flushRest(): Promise<void> {
    await this.flushing
    await this.flush()
  }

  private async appendAll(): Promise<void> {
    while (this.waiting.size > 0 || this.lostCount > 0) {
      const names = [...this.waiting.keys()].slice(0, APPEND_MAX)
      const lost = this.lostCount
      const entries = names.map((name) => entryOf(this.waiting.get(name)!))
      if (lost > 0) entries.push(this.lostEntry(lost))
      const counts = names.map((name) => this.waiting.get(name)!.count)
      try {
        await this.options.log.append(entries)
      } catch (error) {
        this.options.onFailure(error)
        return
      }
      this.lostCount -= lost
      for (const [place, name] of names.entries()) {
        const waiting = this.waiting.get(name)!
        waiting.count -= counts[place]!
        // What came while it was being appended is another note.
        if (waiting.count === 0) this.waiting.delete(name)
      }
      this.options.onAppended(this.state)
    }
  }

  private lostEntry(count: number): AuditEntry {
    return {
      atMs: this.options.nowMs(),
      actor: 'tallystream',
      action: 'audit.lost',
      subject: '',
      details: { count },
    }
  }
}

const entryOf = ({
  note: { atMs, actor, action, subject, details, traceId },
  count,
}: Waiting): AuditEntry => ({
  atMs,
  actor,
  action,
  subject,
  details: {
    ...details,
    ...(traceId === undefined ? {} : { trace_id: traceId }),
    ...(count === 1 ? {} : { count }),
  },
})
