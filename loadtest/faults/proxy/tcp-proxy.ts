/**
 * A TCP proxy that misbehaves on demand: it cuts, stalls and delays connections, and springs traps at exact moments of a protocol.
 * A reader of the protocol cuts each direction into frames and names those that mean something; whole frames are passed on, so a
 * trap on "the reply to COMMIT" holds back exactly that reply.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'

/** A piece of one direction that is passed on as a whole. */
export interface Frame {
  readonly bytes: Buffer
  /** What the frame means, where a trap may wait for it. */
  readonly event?: string | undefined
}

/** Follows one connection. Bytes that don't make a whole frame yet are kept. */
export interface ProtocolReader {
  fromClient(chunk: Buffer): Frame[]
  fromServer(chunk: Buffer): Frame[]
}

/** Waits for an event on any connection of the proxies it is armed on, and happens once. */
export interface Trap {
  readonly event: string
  /** Decides about the frame that carries the event; may cut or hold the connection, or kill who is behind it. */
  spring(connection: ProxiedConnection): 'forward' | 'swallow'
}

export interface TcpProxyOptions {
  /** Where connections go; asked for each, since a service may come back on another port. */
  readonly upstreamPort: () => number
  /** 0: any free one. */
  readonly port?: number
  readonly makeReader?: () => ProtocolReader
}

const HOST = '127.0.0.1'
const PLAIN: ProtocolReader = {
  fromClient: (bytes) => [{ bytes }],
  fromServer: (bytes) => [{ bytes }],
}

export class TcpProxy {
  readonly #options: TcpProxyOptions
  readonly #server: Server
  readonly #connections = new Set<ProxiedConnection>()
  readonly #traps = new Set<Trap>()
  #isStalled = false
  #isRefusing = false
  /** Added to each frame in both directions, ms. */
  delayMs = 0

  private constructor(options: TcpProxyOptions) {
    this.#options = options
    this.#server = createServer({ pauseOnConnect: true }, (client) => this.#accept(client))
    this.#server.unref()
  }

  /** Listens on loopback. */
  static open(options: TcpProxyOptions): Promise<TcpProxy> {
    const proxy = new TcpProxy(options)
    return new Promise((resolve, reject) => {
      proxy.#server.once('error', reject)
      proxy.#server.listen({ port: options.port ?? 0, host: HOST }, () => resolve(proxy))
    })
  }

  get port(): number {
    const address = this.#server.address()
    if (typeof address !== 'object' || address === null) throw new Error('the proxy is closed')
    return address.port
  }

  get connections(): number {
    return this.#connections.size
  }

  arm(trap: Trap): void {
    this.#traps.add(trap)
  }

  disarm(trap: Trap): void {
    this.#traps.delete(trap)
  }

  /** Resets every connection. @returns how many there were */
  cutAll(): number {
    const { size } = this.#connections
    for (const connection of [...this.#connections]) connection.cut()
    return size
  }

  /** Nothing is passed on and nobody is told; new connections are taken and hear nothing either. */
  stall(): void {
    this.#isStalled = true
    for (const connection of this.#connections) connection.stall()
  }

  /** What was held up goes on. */
  resume(): void {
    this.#isStalled = false
    for (const connection of [...this.#connections]) connection.resume()
  }

  /** While true, new connections are reset at once. */
  set refusing(isRefusing: boolean) {
    this.#isRefusing = isRefusing
  }

  async close(): Promise<void> {
    this.cutAll()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #accept(client: Socket): void {
    if (this.#isRefusing) {
      client.on('error', () => undefined)
      client.resetAndDestroy()
      return
    }
    const connection = new ProxiedConnection(client, {
      upstreamPort: this.#options.upstreamPort,
      reader: this.#options.makeReader?.() ?? PLAIN,
      delayMs: () => this.delayMs,
      pass: (frame, of) => this.#pass(frame, of),
      ended: (of) => this.#connections.delete(of),
    })
    this.#connections.add(connection)
    if (this.#isStalled) connection.stall()
    else connection.resume()
  }

  /** Whether a frame is passed on. */
  #pass({ event }: Frame, connection: ProxiedConnection): boolean {
    if (event === undefined) return true
    for (const trap of this.#traps) {
      if (trap.event !== event) continue
      this.#traps.delete(trap)
      return trap.spring(connection) === 'forward'
    }
    return true
  }
}

interface ConnectionContext {
  readonly upstreamPort: () => number
  readonly reader: ProtocolReader
  readonly delayMs: () => number
  pass(frame: Frame, connection: ProxiedConnection): boolean
  ended(connection: ProxiedConnection): void
}

/** One client and its server. */
export class ProxiedConnection {
  readonly #context: ConnectionContext
  readonly #client: Socket
  readonly #toClient: Lane
  #server: Socket | undefined
  #toServer: Lane | undefined
  /** What the client sent since `holdToServer`; undefined while nothing is held. */
  #held: Buffer[] | undefined
  #isCut = false
  #isStalled = true

  constructor(client: Socket, context: ConnectionContext) {
    this.#client = client
    this.#context = context
    this.#toClient = new Lane(client)
    client.setNoDelay(true)
    client.on('error', () => undefined)
    client.on('data', (chunk) => this.#fromClient(chunk))
    client.pause()
    client.on('close', () => this.#clientIsGone())
  }

  /** Resets both sides. */
  cut(): void {
    if (this.#isCut) return
    this.#isCut = true
    this.#client.resetAndDestroy()
    this.#server?.resetAndDestroy()
    this.#context.ended(this)
  }

  /** Holds back what the client sends from now on, also after the client has gone: to be delivered late. */
  holdToServer(): void {
    this.#held ??= []
  }

  /** Resets the client's side alone: what is held may still arrive. */
  abandonClient(): void {
    this.#client.resetAndDestroy()
  }

  /** Sends the server what was held, late, and then ends the connection. */
  deliverHeld(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const bytes of held) this.#toServer?.write(bytes, 0)
    this.#client.resetAndDestroy()
    this.#toServer?.end()
  }

  stall(): void {
    this.#isStalled = true
    this.#client.pause()
    this.#server?.pause()
  }

  resume(): void {
    this.#isStalled = false
    this.#server ??= this.#connect()
    this.#client.resume()
    this.#server.resume()
  }

  #connect(): Socket {
    const server = connect({ port: this.#context.upstreamPort(), host: HOST })
    server.setNoDelay(true)
    this.#toServer = new Lane(server)
    server.on('error', () => this.cut())
    server.on('data', (chunk) => this.#fromServer(chunk))
    server.on('close', () => {
      this.#toClient.end()
      this.#context.ended(this)
    })
    return server
  }

  #clientIsGone(): void {
    if (this.#held !== undefined) return
    // What it sent before it died arrives, as it would without a proxy in between.
    this.#toServer?.end()
    if (this.#server === undefined) this.#context.ended(this)
  }

  #fromClient(chunk: Buffer): void {
    for (const frame of this.#context.reader.fromClient(chunk)) {
      const isPassed = this.#context.pass(frame, this)
      if (this.#isCut) return
      if (this.#held !== undefined) this.#held.push(frame.bytes)
      else if (isPassed) this.#write(this.#toServer, this.#client, frame.bytes)
    }
  }

  #fromServer(chunk: Buffer): void {
    for (const frame of this.#context.reader.fromServer(chunk)) {
      const isPassed = this.#context.pass(frame, this)
      if (this.#isCut) return
      if (isPassed) this.#write(this.#toClient, this.#server, frame.bytes)
    }
  }

  #write(lane: Lane | undefined, from: Socket | undefined, bytes: Buffer): void {
    const isTaken = lane?.write(bytes, this.#context.delayMs()) ?? true
    if (isTaken) return
    from?.pause()
    lane?.onDrain(() => {
      if (!this.#isStalled) from?.resume()
    })
  }
}

/** One direction: what is written to a socket, perhaps late, always in order. */
class Lane {
  readonly #to: Socket
  readonly #waiting: { bytes: Buffer; dueMs: number }[] = []
  #timer: NodeJS.Timeout | undefined
  #isEnding = false

  constructor(to: Socket) {
    this.#to = to
  }

  /** @returns false where the writer should wait for `onDrain` */
  write(bytes: Buffer, delayMs: number): boolean {
    if (!this.#to.writable) return true
    if (delayMs === 0 && this.#waiting.length === 0) return this.#to.write(bytes)
    // Behind what is delayed already, even where the delay has ended meanwhile.
    this.#waiting.push({ bytes, dueMs: performance.now() + delayMs })
    this.#schedule()
    return true
  }

  onDrain(resume: () => void): void {
    this.#to.once('drain', resume)
  }

  /** Ends the socket behind what is still delayed. */
  end(): void {
    this.#isEnding = true
    if (this.#waiting.length === 0) this.#to.end()
  }

  #schedule(): void {
    const first = this.#waiting[0]
    if (first === undefined || this.#timer !== undefined) return
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined
        while (this.#waiting[0] !== undefined && this.#waiting[0].dueMs <= performance.now()) {
          const { bytes } = this.#waiting.shift()!
          if (this.#to.writable) this.#to.write(bytes)
        }
        if (this.#waiting.length === 0 && this.#isEnding) this.#to.end()
        this.#schedule()
      },
      Math.max(0, first.dueMs - performance.now()),
    )
  }
}
