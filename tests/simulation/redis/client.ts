/** An ioredis-shaped client as platform/redis uses it: nothing is queued while it is away, commands have a short time-out. */
import type { RedisClient } from '#platform/redis/client.ts'
import { Link, type NetworkWeather } from '../scheduler/link.ts'
import type { Scheduler, SimulatedProcess } from '../scheduler/scheduler.ts'
import type { RedisServer } from './server.ts'

export interface RedisPlace {
  readonly scheduler: Scheduler
  readonly server: RedisServer
  readonly weather: NetworkWeather
}

const COMMAND_TIMEOUT_MS = 250
const RECONNECT_MS = 100

class SimulatedRedis {
  private readonly place: RedisPlace
  private readonly process: SimulatedProcess
  private link: Link | null = null
  private readonly waiting = new Set<(error: Error) => void>();
  [script: string]: unknown

  constructor(place: RedisPlace, process: SimulatedProcess) {
    this.place = place
    this.process = process
    this.connect()
  }

  defineCommand(name: string, { lua }: { lua: string }): void {
    this[name] = (count: number, ...rest: (string | number)[]) =>
      this.command(name, (server) =>
        server.script(name, lua, rest.slice(0, count).map(String), rest.slice(count).map(String)),
      )
  }

  mget(...keys: string[]): Promise<(string | null)[]> {
    return this.command('mget', (server) => keys.map((key) => server.get(key)))
  }

  set(key: string, value: string, _px: string, lifeMs: number, _nx: string): Promise<'OK' | null> {
    return this.command('set', (server) => server.setIfAbsent(key, value, lifeMs))
  }

  disconnect(): void {
    this.link?.close()
    this.link = null
  }

  cut(): void {
    this.link?.cut()
  }

  private connect(): void {
    const link = new Link(this.place.scheduler, this.place.weather, this.process)
    link.onGoneAtProcess = () => this.lost()
    link.send('redis connect', () => {
      const isUp = this.place.server.isUp
      link.answer('redis connected', () => {
        if (isUp) this.link = link
        else this.lost()
      })
    })
  }

  private lost(): void {
    this.link = null
    for (const fail of [...this.waiting]) fail(new Error('Connection is closed.'))
    this.process.after(RECONNECT_MS, 'redis reconnects', () => this.connect())
  }

  private command<T>(label: string, work: (server: RedisServer) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const { link } = this
      if (link === null) {
        reject(new Error("Stream isn't writeable and enableOfflineQueue options is false"))
        return
      }
      const fail = (error: Error): void => {
        cancel()
        this.waiting.delete(fail)
        reject(error)
      }
      const cancel = this.process.after(COMMAND_TIMEOUT_MS, 'redis command timeout', () =>
        fail(new Error('Command timed out')),
      )
      this.waiting.add(fail)
      link.send(label, () => {
        if (!this.place.server.isUp) {
          link.cut()
          return
        }
        const result = work(this.place.server)
        link.answer(`answer ${label}`, () => {
          cancel()
          this.waiting.delete(fail)
          resolve(result)
        })
      })
    })
  }
}

/** Makes the client of one process. */
export const makeSimulatedRedis = (
  place: RedisPlace,
  process: SimulatedProcess,
): { client: RedisClient; cut(): void } => {
  const client = new SimulatedRedis(place, process)
  return { client: client as unknown as RedisClient, cut: () => client.cut() }
}
