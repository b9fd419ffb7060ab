/**
 * One database to try statements on, real or simulated: sessions and pools as the engine opens them, whose every statement goes into
 * the transcript, and what can be done to their connections.
 */
import { OperatingError } from '#platform/errors.ts'
import type { LedgerSession } from '#platform/postgres/ledger-store/session.ts'
import type { Statements, StatementValue } from '#platform/postgres/ledger-store/store.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import type { Clock } from '#platform/time/clock.ts'
import { nameOf } from '../postgres/client.ts'
import { comparableRows, type Transcript } from './transcript.ts'

/** What differs between the two. */
export interface PostgresPlace {
  readonly clock: Clock
  openSession(owner: string, idleInTransactionMs: number): Promise<LedgerSession>
  /** For the publisher and leases; int8 as bigint. */
  readonly pool: { query(query: unknown, values?: readonly unknown[]): Promise<{ rows: unknown[] }> }
  /** For the API. */
  readonly readPool: Pick<ReadPool, 'query'>
  wait(ms: number): Promise<void>
  /** Waits until the server knows that all closed sessions are gone: whoever claims then finds none to end. */
  untilClosed(): Promise<void>
  /** Waits until so many sessions wait for a lock. */
  untilWaiting(sessions: number): Promise<void>
  /**
   * The connection of the session that was opened last is cut: at once, or when the next COMMIT has taken place and its answer is
   * on the way.
   */
  cut(session: LedgerSession, when: 'now' | 'after its commit'): Promise<void>
}

/** Errors of connections have many words for one thing; those of SQL have codes that must be the same. */
const SQL_ERROR = /^(22|23|25P02|40|42|TS)/

/** An error as the engine takes it. */
export const errorSeen = (error: unknown): object => {
  if (!(error instanceof OperatingError)) throw error
  const { code, message } = error
  const sql = String((error.cause as { code?: unknown } | undefined)?.code ?? '')
  return {
    error: code,
    ...(SQL_ERROR.test(sql) ? { sql } : {}),
    ...(code === 'compare_and_swap_failed' ? { message } : {}),
  }
}

/** Runs something. @returns its value, or what the engine takes its error for */
export const attempt = async (work: () => Promise<unknown>): Promise<unknown> => {
  try {
    return await work()
  } catch (error) {
    return errorSeen(error)
  }
}

type Query = { readonly name?: string; readonly text: string; readonly values?: readonly unknown[] }

export class PostgresBench {
  readonly place: PostgresPlace
  readonly transcript: Transcript
  /** Every statement that was sent, by name: cases send them again with values of their own. */
  readonly texts: Map<string, string>
  private readonly opened: LedgerSession[] = []

  constructor(place: PostgresPlace, transcript: Transcript, texts: Map<string, string>) {
    this.place = place
    this.transcript = transcript
    this.texts = texts
  }

  /** A session whose statements are noted under a label. */
  async session(label: string, idleInTransactionMs = 10_000): Promise<LedgerSession> {
    const session = await this.place.openSession(label, idleInTransactionMs)
    const query = session.query.bind(session)
    session.query = (async (name: string, text: string, values: readonly StatementValue[] = []) => {
      this.texts.set(name, text)
      return await this.noted(label, name, text, () => query(name, text, values))
    }) as Statements['query'] as typeof session.query
    this.opened.push(session)
    return session
  }

  /** The text of a statement that an earlier case has brought about. @throws Error where none has */
  text(name: string): string {
    const text = this.texts.get(name)
    if (text === undefined) throw new Error(`no case before this one sends ${name}`)
    return text
  }

  /** The engine's pool, noted. */
  get pool() {
    return {
      query: async (query: Query | string, values?: readonly unknown[]) => {
        const asked: Query = typeof query === 'string' ? { text: query } : query
        return await this.noted('pool', nameOf(asked), asked.text, () => this.place.pool.query(query, values))
      },
    }
  }

  get readPool() {
    return {
      query: async (query: Query, values: readonly unknown[]) => {
        const ask = async () => ({ rows: await this.place.readPool.query(query, values as never) })
        return (await this.noted('api', nameOf(query), query.text, ask)).rows
      },
    }
  }

  async closeAll(): Promise<void> {
    for (const session of this.opened.splice(0)) await session.close()
    await this.place.untilClosed()
  }

  private async noted<Result extends { rows: unknown[]; command?: string }>(
    label: string,
    name: string,
    text: string,
    work: () => Promise<Result>,
  ): Promise<Result> {
    this.texts.set(name, text)
    try {
      const result = await work()
      const isOrdered = /order by/.test(text)
      const isEnd = /^(commit|rollback)/.test(text)
      this.transcript.note(label, name, isEnd ? result.command : comparableRows(result.rows, isOrdered))
      return result
    } catch (error) {
      this.transcript.note(label, name, error instanceof OperatingError ? errorSeen(error) : 'unknown error')
      throw error
    }
  }
}
