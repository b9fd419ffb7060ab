/** Requests of a simulated Kafka client: one connection to the broker, answers in time or errors as kafkajs throws them. */
import { Link, type NetworkWeather } from '../scheduler/link.ts'
import type { Scheduler, SimulatedProcess } from '../scheduler/scheduler.ts'
import type { Broker } from './broker.ts'
import type { ConsumerGroup } from './groups.ts'

export interface KafkaPlace {
  readonly scheduler: Scheduler
  readonly broker: Broker
  readonly weather: NetworkWeather
  group(groupId: string): ConsumerGroup
  /** A member id that was never there before. */
  newMember(name: string): string
  readonly consumers: ConsumerWeather
}

/** What may go wrong in the client between the broker and the engine. */
export interface ConsumerWeather {
  /** The client's position jumps: by so many offsets, 0 = it doesn't. */
  jump(): number
  /** A fetch is handed over once more. */
  repeats(): boolean
  recordsPerFetch(): number
}

/** As kafkajs' KafkaJSProtocolError: `type` is the broker's word. */
export class ProtocolError extends Error {
  readonly type: string
  readonly retriable: boolean
  constructor(type: string, retriable = false) {
    super(type)
    this.type = type
    this.retriable = retriable
  }
}

const REQUEST_TIMEOUT_MS = 5_000

export class BrokerConnection {
  readonly place: KafkaPlace
  readonly process: SimulatedProcess
  private link: Link
  private readonly waiting = new Set<(error: Error) => void>()
  private isClosed = false

  constructor(place: KafkaPlace, process: SimulatedProcess) {
    this.place = place
    this.process = process
    this.link = this.open()
  }

  private open(): Link {
    const link = new Link(this.place.scheduler, this.place.weather, this.process)
    link.onGoneAtProcess = () => this.failAll(new Error('Closed connection'))
    return link
  }

  /** Sends a request; `serve` runs at the broker and answers now or later. @throws Error as kafkajs' connection errors */
  request<T>(
    label: string,
    serve: (answer: (value: T | Error, delayMs?: number) => void) => void,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.isClosed) {
        reject(new Error('Not connected'))
        return
      }
      // A client connects again by itself.
      if (this.link.isCut) this.link = this.open()
      const { link } = this
      const fail = (error: Error): void => {
        cancel()
        this.waiting.delete(fail)
        reject(error)
      }
      const cancel = this.process.after(REQUEST_TIMEOUT_MS, 'kafka request timeout', () =>
        fail(new Error(`Request ${label} timed out`)),
      )
      this.waiting.add(fail)
      link.send(label, () => {
        if (!this.place.broker.isUp) {
          link.answer('kafka refused', () => fail(new Error('Connection error: ECONNREFUSED')))
          return
        }
        serve((value, delayMs = 0) => {
          link.answer(
            `answer ${label}`,
            () => {
              cancel()
              this.waiting.delete(fail)
              if (value instanceof Error) reject(value)
              else resolve(value)
            },
            delayMs,
          )
        })
      })
    })
  }

  cut(): void {
    this.link.cut()
  }

  close(): void {
    this.isClosed = true
    this.link.close()
    this.failAll(new Error('Connection closed'))
  }

  private failAll(error: Error): void {
    for (const fail of [...this.waiting]) fail(error)
  }
}

/** A client of the broker's with one connection of its own. */
export class ConnectedClient {
  protected readonly place: KafkaPlace
  protected readonly connection: BrokerConnection

  constructor(place: KafkaPlace, process: SimulatedProcess) {
    this.place = place
    this.connection = new BrokerConnection(place, process)
  }

  async connect(): Promise<void> {
    await this.connection.request('kafka connect', (answer) => answer(null))
  }

  async disconnect(): Promise<void> {
    this.connection.close()
  }

  cut(): void {
    this.connection.cut()
  }
}
