/** Free ports on loopback, so that two clones, a test run and a demo never meet. */
import { connect, createServer, type Server } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

function listenOn(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => resolve(server))
  })
}

/**
 * Finds one free port for each wanted one: the wanted one itself where it is free (so a stack keeps its addresses over a
 * restart), else any. All are held until the last is found, so that no two are the same.
 *
 * @param wanted Port numbers from the last run; 0 for "any".
 */
export async function findFreePorts(wanted: readonly number[]): Promise<number[]> {
  const held: Server[] = []
  try {
    for (const port of wanted) {
      const server = (port === 0 ? undefined : await listenOn(port)) ?? (await listenOn(0))
      if (server === undefined) throw new Error('No free port on 127.0.0.1')
      held.push(server)
    }
    return held.map((server) => {
      const address = server.address()
      return typeof address === 'object' && address !== null ? address.port : 0
    })
  } finally {
    await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))))
  }
}

/** Waits until all these ports are free (true), at most `timeoutMs`: a service that restarts should keep its address. */
export async function waitUntilFree(ports: readonly number[], timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs
  while (performance.now() < deadline) {
    const found = await findFreePorts(ports)
    if (found.every((port, index) => port === ports[index])) return true
    await sleep(50)
  }
  return false
}

/**
 * Connects, sends `request` and returns what comes back once `isComplete` says so; undefined on any failure. Enough to ask a broker, Postgres or Redis whether it really answers, without their client libraries.
 */
export function exchange(options: {
  host: string
  port: number
  request: Buffer
  isComplete: (received: Buffer) => boolean
  timeoutMs: number
}): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    const socket = connect({ host: options.host, port: options.port })
    const finish = (answer: Buffer | undefined) => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(options.timeoutMs, () => finish(undefined))
    socket.on('error', () => finish(undefined))
    socket.on('close', () => finish(undefined))
    socket.on('connect', () => socket.write(options.request))
    socket.on('data', (chunk) => {
      chunks.push(chunk)
      const received = Buffer.concat(chunks)
      if (options.isComplete(received)) finish(received)
    })
  })
}
