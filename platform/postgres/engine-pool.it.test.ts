/** The engine's pool and a Postgres that falls silent. */
import { createServer, type Server, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { makeEnginePool } from './engine-pool.ts'

/** AuthenticationOk, then ReadyForQuery (idle): a server that lets everybody in. */
const WELCOME = Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0, 0x5a, 0, 0, 0, 5, 0x49])

const sockets = new Set<Socket>()
let server: Server | undefined
afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  await new Promise((resolve) => server?.close(resolve))
})

/** Answers the first message of each connection and nothing after it. */
async function silentServer(): Promise<number> {
  server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('data', () => socket.write(WELCOME))
  })
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve))
  return (server.address() as { port: number }).port
}

test('a statement that is never answered ends with an error', { timeout: 15_000 }, async () => {
  const url = `postgres://user@127.0.0.1:${await silentServer()}/ledger`
  const pool = makeEnginePool(
    { url, sslCa: undefined, schema: 'ledger', transactionTimeoutMs: 1_000 },
    { applicationName: 'test', connectionsMax: 1, statementTimeoutMs: 100 },
  )
  await expect(pool.query('select 1')).rejects.toThrow(/timeout/)
  void pool.end()
})
