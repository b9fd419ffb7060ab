/** pg's client and pool as the engine uses them, over a simulated connection to the simulated server. */
import { EventEmitter } from 'node:events'
import { Link, type NetworkWeather } from '../scheduler/link.ts'
import type { Scheduler, SimulatedProcess } from '../scheduler/scheduler.ts'
import { PgError, type PgServer, type PgSession, type StatementResult } from './server.ts'

export interface PgPlace {
  readonly scheduler: Scheduler
  readonly server: PgServer
  readonly weather: NetworkWeather
  /** Told of a batch that was decided ahead, when it is sent. */
  readonly onAhead?: (process: SimulatedProcess) => void
}

export interface ClientConfig {
  readonly connectionTimeoutMillis?: number | undefined
  readonly query_timeout?: number | undefined
}

interface Query {
  readonly name?: string
  readonly text: string
  readonly values?: readonly unknown[]
}

interface Waiting {
  readonly name: string
  /** The server has answered; the answer may still be lost. */
  isServed: boolean
  readonly resolve: (result: StatementResult) => void
  readonly reject: (error: Error) => void
  cancelTimer: (() => void) | null
}

/** Statements that the engine sends without a name. */
const UNNAMED: readonly (readonly [start: RegExp, name: string])[] = [
  [/^insert into leases/, 'take-lease'],
  [/^delete from leases/, 'release-lease'],
  [/^select set_config/, 'set-config'],
  [/^update ingest_offsets set incident/, 'note-incident'],
  [/published_sequence from publisher_progress/, 'read-head'],
]

/** What a statement is called, also one that is sent without a name. */
export const nameOf = (query: { readonly name?: string; readonly text: string }): string =>
  query.name ?? UNNAMED.find(([start]) => start.test(query.text))?.[1] ?? query.text.slice(0, 40)

/** One connection. */
export class SimulatedPgClient extends EventEmitter {
  private readonly place: PgPlace
  private readonly process: SimulatedProcess
  private readonly config: ClientConfig
  private readonly link: Link
  private session: PgSession | null = null
  private readonly waiting: Waiting[] = []
  private isOver = false

  constructor(place: PgPlace, process: SimulatedProcess, config: ClientConfig) {
    super()
    this.place = place
    this.process = process
    this.config = config
    this.link = new Link(place.scheduler, place.weather, process)
    this.link.onGoneAtProcess = () => this.gone(new Error('Connection terminated unexpectedly'))
  }

  connect(): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = this.process.after(
        this.config.connectionTimeoutMillis ?? 5_000,
        'pg connect timeout',
        () => {
          this.isOver = true
          this.link.close()
          reject(new Error('timeout expired'))
        },
      )
      this.link.send('pg connect', () => {
        const session = this.place.server.connect()
        if (session === null) {
          this.link.answer('pg refused', () => {
            cancel()
            reject(Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }))
          })
          return
        }
        this.session = session
        session.onEnd = () => this.link.closeByService()
        this.link.onGoneAtService = () => this.place.server.end(session)
        this.link.answer('pg connected', () => {
          cancel()
          resolve()
        })
      })
    })
  }

  query(query: Query | string, values?: readonly unknown[]): Promise<StatementResult> {
    const asked: Query =
      typeof query === 'string' ? { text: query, ...(values === undefined ? {} : { values }) } : query
    return new Promise((resolve, reject) => {
      if (this.isOver) {
        reject(new Error('Client has encountered a connection error and is not queryable'))
        return
      }
      const name = nameOf(asked)
      const waiting: Waiting = { name, isServed: false, resolve, reject, cancelTimer: null }
      const timeoutMs = this.config.query_timeout ?? 0
      if (timeoutMs > 0) {
        waiting.cancelTimer = this.process.after(timeoutMs, 'pg query timeout', () =>
          reject(new Error('Query read timeout')),
        )
      }
      this.waiting.push(waiting)
      if (name === 'lock-expected-head') this.place.onAhead?.(this.process)
      this.link.send(name, () => {
        if (this.session === null) return
        this.place.server.receive(this.session, {
          name,
          text: asked.text,
          values: asked.values ?? [],
          answer: (result) => {
            waiting.isServed = !(result instanceof PgError) && result.command === 'COMMIT'
            this.link.answer(`answer ${name}`, () => this.answered(waiting, result))
          },
        })
      })
    })
  }

  /** Closes properly; settles when the server has heard of it. */
  end(): Promise<void> {
    this.isOver = true
    if (this.link.isCut) return Promise.resolve()
    this.link.close()
    return new Promise((resolve) => {
      this.process.after(1, 'pg ended', resolve)
    })
  }

  /** Batches that were sent and not answered. */
  get commitsUnderWay(): number {
    return this.waiting.filter(({ name }) => name === 'commit').length
  }

  /** The connection breaks in the middle. */
  cut(): void {
    this.link.cut()
  }

  get isConnected(): boolean {
    return this.session !== null && !this.session.isEnded && !this.link.isCut
  }

  private answered(waiting: Waiting, result: StatementResult | PgError): void {
    this.waiting.splice(this.waiting.indexOf(waiting), 1)
    waiting.cancelTimer?.()
    if (result instanceof PgError) waiting.reject(result)
    else waiting.resolve(result)
  }

  private gone(error: Error): void {
    if (this.isOver) return
    this.isOver = true
    for (const waiting of this.waiting.splice(0)) {
      if (waiting.name === 'commit' && waiting.isServed)
        this.place.scheduler.happened('reply to a commit lost')
      waiting.cancelTimer?.()
      waiting.reject(error)
    }
    this.emit('error', error)
    this.emit('end')
  }
}

/** A pool of one connection, made anew after it broke: enough for the publisher, leases and readers. */
export class SimulatedPgPool {
  private readonly place: PgPlace
  private readonly process: SimulatedProcess
  private client: SimulatedPgClient | null = null
  private connecting: Promise<SimulatedPgClient> | null = null

  constructor(place: PgPlace, process: SimulatedProcess) {
    this.place = place
    this.process = process
  }

  async query(query: Query | string, values?: readonly unknown[]): Promise<StatementResult> {
    const client = await this.connected()
    return client.query(query, values)
  }

  private connected(): Promise<SimulatedPgClient> {
    if (this.client !== null) return Promise.resolve(this.client)
    this.connecting ??= this.connect().finally(() => {
      this.connecting = null
    })
    return this.connecting
  }

  private async connect(): Promise<SimulatedPgClient> {
    const client = new SimulatedPgClient(this.place, this.process, {
      connectionTimeoutMillis: 5_000,
      query_timeout: 10_000,
    })
    client.on('error', () => {
      if (this.client === client) this.client = null
    })
    await client.connect()
    this.client = client
    return client
  }

  cut(): void {
    this.client?.cut()
  }
}
