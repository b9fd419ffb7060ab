/** The simulated Postgres as a place to try statements on. */
import { LedgerSession, type LedgerSessionOptions } from '#platform/postgres/ledger-store/session.ts'
import { SimulatedPgClient, SimulatedPgPool } from '../postgres/client.ts'
import { PgServer } from '../postgres/server.ts'
import { statementOf } from '../postgres/statements.ts'
import type { HeadRow } from '../postgres/tables.ts'
import type { Scheduler, SimulatedProcess } from '../scheduler/scheduler.ts'
import type { PostgresPlace } from './postgres-bench.ts'
import { CALM, simulatedPause } from './simulated.ts'

type PgClient = ReturnType<NonNullable<LedgerSessionOptions['makeClient']>>

/** @param head what the ledger begins with */
export const simulatedPostgres = (
  scheduler: Scheduler,
  process: SimulatedProcess,
  head: HeadRow,
): PostgresPlace => {
  const server = new PgServer(scheduler, statementOf)
  server.tables.head.set('head', head)
  const place = { scheduler, server, weather: CALM }
  const clients = new Map<LedgerSession, SimulatedPgClient>()
  let pool: SimulatedPgPool | null = null
  const ask = (query: unknown, values?: readonly unknown[]) => {
    pool ??= new SimulatedPgPool(place, process)
    return pool.query(query as string, values)
  }
  const untilWaiting = async (sessions: number): Promise<void> => {
    while (server.waitingSessions !== sessions) await simulatedPause(process, 1)
  }
  return {
    clock: process.clock,
    openSession: async (owner, idleInTransactionMs) => {
      const made: SimulatedPgClient[] = []
      const session = await LedgerSession.open({
        connectionString: '',
        ssl: undefined,
        schema: 'simulated',
        clusterId: 'local',
        owner,
        idleInTransactionMs,
        connectTimeoutMs: 5_000,
        makeClient: (config) => {
          const client = new SimulatedPgClient(place, process, config)
          made.push(client)
          return client as unknown as PgClient
        },
      })
      clients.set(session, made[0]!)
      return session
    },
    pool: {
      query: async (query, values) => {
        const result = await ask(query, values)
        return { ...result, rows: [...result.rows] }
      },
    },
    readPool: {
      query: async <Row>(query: { name?: string; text: string }, values?: readonly unknown[]) =>
        (await ask({ ...query, values: values ?? [] })).rows as Row[],
    },
    wait: (ms) => simulatedPause(process, ms),
    untilWaiting,
    untilClosed: () => simulatedPause(process, 50),
    cut: async (session, when) => {
      const client = clients.get(session)!
      if (when === 'now') {
        client.cut()
        return
      }
      server.onCommit = (writes) => {
        if (writes.some((write) => write.table === 'batches')) client.cut()
      }
    },
  }
}
