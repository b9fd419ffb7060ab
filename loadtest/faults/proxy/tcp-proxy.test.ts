/** The proxy passes everything on until it is told otherwise, and then does exactly what it was told. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type ProxiedConnection, TcpProxy } from './tcp-proxy.ts'

let server: Server
let proxy: TcpProxy
/** What the server received, over all connections, in order. */
let received: string
let clients: Socket[]

const eventOf = (bytes: Buffer) => ({ bytes, event: bytes.toString().trim() })

beforeEach(async () => {
  received = ''
  clients = []
  server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      received += chunk.toString()
      socket.write(`echo ${chunk}`)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  proxy = await TcpProxy.open({
    upstreamPort: () => (server.address() as AddressInfo).port,
    makeReader: () => ({ fromClient: (bytes) => [eventOf(bytes)], fromServer: (bytes) => [eventOf(bytes)] }),
  })
})

afterEach(async () => {
  for (const client of clients) client.destroy()
  await proxy.close()
  await new Promise((resolve) => server.close(resolve))
})

interface Client {
  readonly socket: Socket
  read: string
  isClosed: boolean
}

const join = async (): Promise<Client> => {
  const socket = connect(proxy.port, '127.0.0.1')
  clients.push(socket)
  const client: Client = { socket, read: '', isClosed: false }
  socket.on('error', () => undefined)
  socket.on('data', (chunk) => {
    client.read += chunk.toString()
  })
  socket.on('close', () => {
    client.isClosed = true
  })
  await once(socket, 'connect')
  return client
}

const until = async (holds: () => boolean): Promise<void> => {
  const deadline = performance.now() + 15_000
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`waited for ${holds}`)
    await sleep(5)
  }
}

test('passes on in both directions, and ends with the client', async () => {
  const client = await join()
  client.socket.write('one')
  await until(() => client.read === 'echo one')
  expect(proxy.connections).toBe(1)
  client.socket.end()
  await until(() => proxy.connections === 0)
})

test('what a client sent before it died arrives', async () => {
  const client = await join()
  client.socket.write('last words')
  await until(() => received === 'last words')
  client.socket.write(' and more')
  client.socket.destroySoon()
  await until(() => received === 'last words and more')
})

test('a cut closes all connections; a new one works', async () => {
  const client = await join()
  client.socket.write('one')
  await until(() => client.read !== '')
  expect(proxy.cutAll()).toBe(1)
  await until(() => client.isClosed)
  const next = await join()
  next.socket.write('two')
  await until(() => next.read === 'echo two')
})

test('a stall holds everything, also new connections, and loses nothing', async () => {
  const client = await join()
  client.socket.write('one')
  await until(() => client.read !== '')
  proxy.stall()
  client.socket.write('two')
  const late = await join()
  late.socket.write('three')
  await sleep(50)
  expect(received).toBe('one')
  proxy.resume()
  await until(() => client.read === 'echo oneecho two' && late.read === 'echo three')
})

test('a delay keeps the order, also where it ends in between', async () => {
  const client = await join()
  proxy.delayMs = 40
  client.socket.write('slow ')
  await sleep(5)
  proxy.delayMs = 0
  client.socket.write('quick')
  await until(() => received.length === 10)
  expect(received).toBe('slow quick')
})

test('a trap springs once, and swallows exactly its message', async () => {
  const client = await join()
  let sprung = 0
  proxy.arm({
    event: 'two',
    spring: () => {
      sprung += 1
      return 'swallow'
    },
  })
  client.socket.write('one')
  await until(() => received === 'one')
  client.socket.write('two')
  await until(() => sprung === 1)
  client.socket.write('two')
  await until(() => received === 'onetwo')
  expect(sprung).toBe(1)
})

test('a reply can be swallowed and the connection cut: the server did it, the client never hears', async () => {
  const client = await join()
  proxy.arm({
    event: 'echo one',
    spring: (connection) => {
      connection.cut()
      return 'swallow'
    },
  })
  client.socket.write('one')
  await until(() => client.isClosed)
  expect([received, client.read]).toEqual(['one', ''])
})

test('what is held arrives late, although its sender is gone', async () => {
  const client = await join()
  let caught: ProxiedConnection | undefined
  proxy.arm({
    event: 'held',
    spring: (connection) => {
      caught = connection
      connection.holdToServer()
      return 'forward'
    },
  })
  client.socket.write('held')
  await until(() => caught !== undefined)
  client.socket.destroy()
  const other = await join()
  other.socket.write('other ')
  await until(() => other.read !== '')
  caught?.deliverHeld()
  await until(() => received === 'other held')
})
