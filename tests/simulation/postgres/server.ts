/**
 * A simulated Postgres server: sessions with transactions under READ COMMITTED, row locks with waiters in order, the time-outs
 * that free what a frozen client holds, outages, and restores to an earlier moment.
 *
 * A transaction's writes are kept aside until COMMIT: what others read is what was committed when their statement ran. A
 * statement that must lock waits first and reads then, as Postgres re-reads the locked row.
 */
import type { Scheduler } from '../scheduler/scheduler.ts'
import { applyWrites, emptyTables, type Tables, type Write } from './tables.ts'

export class PgError extends Error {
  readonly code: string
  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

export interface StatementResult {
  readonly command: string
  readonly rows: readonly object[]
  readonly rowCount: number
}

/** What a statement sees while it runs. */
export interface StatementContext {
  readonly tables: Tables
  readonly session: PgSession
  readonly values: readonly unknown[]
  /** SQL text: what it checks and writes is taken from there where it matters. */
  readonly text: string
  readonly nowMs: number
  write(...writes: Write[]): void
  /** @returns whether there was such a session */
  terminate(pid: number): boolean
}

export interface Statement {
  /** Names of the locks it takes and keeps until its transaction ends. */
  locks?(context: StatementContext): string[]
  run(context: StatementContext): readonly object[]
}

interface Pending {
  readonly name: string
  readonly text: string
  readonly values: readonly unknown[]
  readonly answer: (result: StatementResult | PgError) => void
}

interface Transaction {
  readonly writes: Write[]
  readonly startedMs: number
  isAborted: boolean
}

/** What a commit did, for whoever watches. */
export type CommitWatcher = (writes: readonly Write[], tables: Tables, session: PgSession) => void

export class PgSession {
  readonly pid: number
  /** Told that the server has ended the session. */
  onEnd: (() => void) | null = null
  isEnded = false
  transaction: Transaction | null = null
  idleInTransactionMs = 0
  transactionMs = 0
  readonly locks = new Set<string>()
  readonly queue: Pending[] = []
  waitingFor: string | null = null
  idleTimer: (() => void) | null = null
  transactionTimer: (() => void) | null = null

  constructor(pid: number) {
    this.pid = pid
  }
}

interface LockState {
  holder: PgSession
  readonly waiters: PgSession[]
}

/** Commits that a restore can take back. */
const UNDO_MAX = 400

export class PgServer {
  readonly tables = emptyTables()
  isUp = true
  onCommit: CommitWatcher = () => undefined
  private readonly scheduler: Scheduler
  private readonly statements: (name: string, text: string) => Statement
  private readonly sessions = new Set<PgSession>()
  private readonly held = new Map<string, LockState>()
  private undo: Write[][] = []
  private nextPid = 1

  constructor(scheduler: Scheduler, statements: (name: string, text: string) => Statement) {
    this.scheduler = scheduler
    this.statements = statements
  }

  connect(): PgSession | null {
    if (!this.isUp) return null
    const session = new PgSession(this.nextPid)
    this.nextPid += 1
    this.sessions.add(session)
    return session
  }

  /** A statement arrives. Answers come in order. */
  receive(session: PgSession, pending: Pending): void {
    if (session.isEnded) return
    session.queue.push(pending)
    if (session.queue.length === 1) this.work(session)
  }

  /** Ends a session: its transaction is undone, its locks are free. */
  end(session: PgSession): void {
    if (session.isEnded) return
    session.isEnded = true
    session.idleTimer?.()
    session.transactionTimer?.()
    session.transaction = null
    session.queue.length = 0
    this.sessions.delete(session)
    if (session.waitingFor !== null) {
      const lock = this.held.get(session.waitingFor)
      lock?.waiters.splice(lock.waiters.indexOf(session), 1)
      session.waitingFor = null
    }
    this.release(session)
    session.onEnd?.()
  }

  /** Stops at once: what wasn't committed is lost, and everybody's connection. */
  stop(): void {
    this.isUp = false
    for (const session of [...this.sessions]) this.end(session)
  }

  start(): void {
    this.isUp = true
  }

  get waitingSessions(): number {
    return [...this.sessions].filter((session) => session.waitingFor !== null).length
  }

  /** Back to a batch, as from a backup, or as near as is known; begins with nobody connected. */
  restore(sequence: bigint): void {
    this.stop()
    while (this.tables.head.get('head')!.sequence > sequence) {
      const writes = this.undo.pop()
      if (writes === undefined) break
      applyWrites(this.tables, writes)
    }
    this.undo = []
    const head = this.tables.head.get('head')!
    this.tables.head.set('head', { ...head, timeline: head.timeline + 1n })
    this.start()
  }

  terminate(pid: number): boolean {
    for (const session of this.sessions) {
      if (session.pid !== pid) continue
      this.scheduler.happened('session ended by the next owner')
      this.end(session)
      return true
    }
    return false
  }

  /** Does what waits in the session's queue, until something has to wait for a lock. */
  private work(session: PgSession): void {
    session.idleTimer?.()
    session.idleTimer = null
    for (let pending = session.queue[0]; pending !== undefined; pending = session.queue[0]) {
      if (session.isEnded) return
      const result = this.attempt(session, pending)
      if (result === 'waits') return
      session.queue.shift()
      pending.answer(result)
    }
    this.watchIdle(session)
  }

  private attempt(session: PgSession, pending: Pending): StatementResult | PgError | 'waits' {
    const { transaction } = session
    const word = pending.text.trimStart().slice(0, 8).toLowerCase()
    if (word.startsWith('commit')) return this.commit(session)
    if (word.startsWith('rollback')) return this.rollback(session)
    if (transaction?.isAborted === true) {
      return new PgError('25P02', 'current transaction is aborted, commands ignored until end of block')
    }
    if (word.startsWith('begin')) return this.begin(session)
    if (word.startsWith('set ')) return this.set(session, pending.text)
    try {
      return this.execute(session, pending)
    } catch (error) {
      if (!(error instanceof PgError)) throw error
      this.countFailure(pending, error)
      if (transaction !== null) transaction.isAborted = true
      else this.release(session)
      return error
    }
  }

  private execute(session: PgSession, pending: Pending): StatementResult | PgError | 'waits' {
    const statement = this.statements(pending.name, pending.text)
    const writes: Write[] = []
    const context: StatementContext = {
      tables: this.tables,
      session,
      values: pending.values,
      text: pending.text,
      nowMs: this.scheduler.nowMs,
      write: (...list) => {
        writes.push(...list)
      },
      terminate: (pid) => this.terminate(pid),
    }
    if (statement.locks !== undefined && !this.acquire(session, statement.locks(context))) return 'waits'
    const rows = statement.run(context)
    if (pending.name === 'lock-expected-head') this.scheduler.happened('batch decided ahead')
    if (session.transaction !== null) session.transaction.writes.push(...writes)
    else {
      if (writes.length > 0) this.commitWrites(session, writes)
      this.release(session)
    }
    return { command: pending.text.trimStart().split(/\s/, 1)[0]!.toUpperCase(), rows, rowCount: rows.length }
  }

  private countFailure({ name }: Pending, { message }: PgError): void {
    if (name === 'lock-expected-head') this.scheduler.happened('batch ahead of one that failed')
    else if (message.includes('ingest offsets')) this.scheduler.happened('swap of offsets failed')
    else if (message.includes('transaction ids')) this.scheduler.happened('id taken already')
  }

  private begin(session: PgSession): StatementResult {
    session.transaction ??= { writes: [], startedMs: this.scheduler.nowMs, isAborted: false }
    if (session.transactionMs > 0) {
      session.transactionTimer = this.scheduler.schedule(
        session.transactionMs,
        'transaction_timeout',
        null,
        () => this.end(session),
      )
    }
    return { command: 'BEGIN', rows: [], rowCount: 0 }
  }

  private commit(session: PgSession): StatementResult {
    const { transaction } = session
    const isGood = transaction !== null && !transaction.isAborted
    this.endTransaction(session)
    // The writes are there before anybody who waited for the locks goes on.
    if (isGood && transaction.writes.length > 0) this.commitWrites(session, transaction.writes)
    this.release(session)
    return {
      command: transaction?.isAborted === true ? 'ROLLBACK' : 'COMMIT',
      rows: [],
      rowCount: 0,
    }
  }

  private rollback(session: PgSession): StatementResult {
    this.endTransaction(session)
    this.release(session)
    return { command: 'ROLLBACK', rows: [], rowCount: 0 }
  }

  private endTransaction(session: PgSession): void {
    session.transaction = null
    session.transactionTimer?.()
    session.transactionTimer = null
  }

  private commitWrites(session: PgSession, writes: readonly Write[]): void {
    this.onCommit(writes, this.tables, session)
    this.undo.push(applyWrites(this.tables, writes))
    if (this.undo.length > UNDO_MAX) this.undo.shift()
  }

  private set(session: PgSession, text: string): StatementResult {
    const found = /(idle_in_transaction_session_timeout|transaction_timeout) = (\d+)/.exec(text)
    if (found?.[1] === 'transaction_timeout') session.transactionMs = Number(found[2])
    else if (found !== null) session.idleInTransactionMs = Number(found[2])
    return { command: 'SET', rows: [], rowCount: 0 }
  }

  private watchIdle(session: PgSession): void {
    if (session.transaction === null || session.idleInTransactionMs === 0) return
    session.idleTimer = this.scheduler.schedule(
      session.idleInTransactionMs,
      'idle_in_transaction_session_timeout',
      null,
      () => {
        this.scheduler.happened('idle in a transaction')
        this.end(session)
      },
    )
  }

  /** All of them or none; waits in line for the first that isn't free. @throws PgError 40P01 where waiting would never end */
  private acquire(session: PgSession, names: readonly string[]): boolean {
    for (const name of names) {
      const lock = this.held.get(name)
      if (lock === undefined || lock.holder === session) continue
      if (this.wouldDeadlock(session, lock.holder)) throw new PgError('40P01', 'deadlock detected')
      if (name === 'head' || name === 'turn') this.scheduler.happened('head waited for')
      lock.waiters.push(session)
      session.waitingFor = name
      return false
    }
    for (const name of names) {
      if (!this.held.has(name)) this.held.set(name, { holder: session, waiters: [] })
      session.locks.add(name)
    }
    return true
  }

  private wouldDeadlock(session: PgSession, holder: PgSession): boolean {
    let next: PgSession | undefined = holder
    for (let hops = 0; next !== undefined && hops < 100; hops += 1) {
      if (next === session) return true
      next = next.waitingFor === null ? undefined : this.held.get(next.waitingFor)?.holder
    }
    return false
  }

  private release(session: PgSession): void {
    const woken: PgSession[] = []
    for (const name of session.locks) {
      const lock = this.held.get(name)
      if (lock === undefined || lock.holder !== session) continue
      this.held.delete(name)
      woken.push(...lock.waiters)
    }
    session.locks.clear()
    // In their order: the first takes the lock, the others wait for it again.
    for (const waiter of woken) {
      waiter.waitingFor = null
      this.scheduler.schedule(0, 'lock free', null, () => {
        if (!waiter.isEnded && waiter.waitingFor === null) this.work(waiter)
      })
    }
  }
}
