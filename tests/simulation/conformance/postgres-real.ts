/** The real Postgres as a place to try statements on; each session's connection goes through a proxy that can break it. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import type { Configuration } from '#platform/config/configuration.ts'
import { LedgerSession } from '#platform/postgres/ledger-store/session.ts'
import { makePool } from '#platform/postgres/pool.ts'
import { systemClock } from '#platform/time/clock.ts'
import type { LedgerFixture } from '#processors/testing/ledger-fixture.ts'
import type { HeadRow } from '../postgres/tables.ts'
import type { PostgresPlace } from './postgres-bench.ts'

const WAIT_MAX_MS = 15_000
/** Tag of Postgres' answer to a COMMIT that has taken place, within its CommandComplete message. */
const COMMITTED = Buffer.from('COMMIT\0')

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Passes everything on until it is told to break. */
class Breaker {
  breaksAtCommit = false
  private readonly server: Server
  private readonly sockets = new Set<Socket>()

  constructor(target: { host: string; port: number }) {
    this.server = createServer((client) => {
      const upstream = connect(target)
      for (const [from, to] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        this.sockets.add(from)
        from.on('error', () => undefined)
        from.on('close', () => to.destroy())
        from.on('data', (bytes) => {
          if (from === upstream && this.breaksAtCommit && bytes.includes(COMMITTED)) this.cut()
          else to.write(bytes)
        })
      }
    })
  }

  async open(): Promise<number> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve))
    return (this.server.address() as AddressInfo).port
  }

  cut(): void {
    for (const socket of this.sockets) socket.destroy()
  }

  close(): void {
    this.cut()
    this.server.close()
  }
}

/** @returns the place, the head that its ledger begins with, and what closes it */
export const realPostgres = async (
  ledger: LedgerFixture,
  configuration: Configuration,
): Promise<{ place: PostgresPlace; head: HeadRow; close(): Promise<void> }> => {
  const { postgres } = configuration
  const url = new URL(postgres.url)
  const breakers = new Map<LedgerSession, Breaker>()
  const readPool = makePool({ ...postgres, applicationName: 'conformance' })
  const sessionName = (owner: string): string => `${configuration.ledger.name} ${owner}`
  const untilCount = async (condition: string, sessions: number): Promise<void> => {
    const until = performance.now() + WAIT_MAX_MS
    for (;;) {
      const [row] = await ledger.rows<{ found: bigint }>(
        `select count(*) as found from pg_stat_activity where ${condition} and application_name like $1`,
        [`tallystream processor ${sessionName('')}%`],
      )
      if (row!.found === BigInt(sessions)) return
      if (performance.now() > until) throw new Error(`never ${sessions} sessions with ${condition}`)
      await pause(10)
    }
  }
  const place: PostgresPlace = {
    clock: systemClock,
    openSession: async (owner, idleInTransactionMs) => {
      const breaker = new Breaker({ host: url.hostname, port: Number(url.port || 5432) })
      const through = new URL(url)
      through.host = `127.0.0.1:${await breaker.open()}`
      const session = await LedgerSession.open({
        connectionString: through.href,
        ssl: undefined,
        schema: postgres.schema,
        clusterId: 'local',
        owner: sessionName(owner),
        idleInTransactionMs,
        connectTimeoutMs: 5_000,
      })
      breakers.set(session, breaker)
      return session
    },
    pool: {
      query: async (query, values) => await ledger.pool.query(query as string, values as unknown[]),
    },
    readPool,
    wait: pause,
    untilWaiting: (sessions) => untilCount("wait_event_type = 'Lock'", sessions),
    untilClosed: () => untilCount('true', 0),
    cut: async (session, when) => {
      const breaker = breakers.get(session)!
      if (when === 'now') breaker.cut()
      else breaker.breaksAtCommit = true
    },
  }
  return {
    place,
    head: await firstHead(ledger),
    close: async () => {
      await readPool.close()
      for (const breaker of breakers.values()) breaker.close()
    },
  }
}

const firstHead = async (ledger: LedgerFixture): Promise<HeadRow> => {
  const [row] = await ledger.rows<Record<string, never>>(
    `select sequence, hash, tick_ms, pending_ticks::text, expiring, logic_version, rules_version, accounts_count, cards_count, timeline
     from ledger_head`,
  )
  return {
    sequence: row!.sequence!,
    hash: row!.hash!,
    tickMs: row!.tick_ms!,
    pendingTicks: row!.pending_ticks!,
    expiring: row!.expiring!,
    logicVersion: row!.logic_version!,
    rulesVersion: row!.rules_version!,
    accountsCount: row!.accounts_count!,
    cardsCount: row!.cards_count!,
    timeline: row!.timeline!,
  }
}
