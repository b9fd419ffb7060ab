/** Test fixtures of the balance cache: balances, and a proxy before Redis that can be cut and hung. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import type { AccountBalance } from '#platform/redis/balance-value.ts'

/** A balance of an account; version and posted amount equal `sequence` unless stated. */
export function balanceOf(
  accountId: string,
  sequence: bigint,
  changes: Partial<AccountBalance> = {},
): AccountBalance {
  return {
    accountId,
    currency: 'EUR',
    normalSide: 'credit',
    posted: sequence,
    reserved: 0n,
    limited: true,
    overdraftLimit: 0n,
    version: { timeline: 1n, sequence },
    recordedAtMs: 1_700_000_000_000 + Number(sequence),
    ...changes,
  }
}

/** A TCP proxy on loopback whose target can become unreachable (port closed) or silent (bytes held back). */
export class CuttableProxy {
  readonly #target: { host: string; port: number }
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined
  #port = 0
  #silent = false

  constructor(target: { host: string; port: number }) {
    this.#target = target
  }

  get port(): number {
    return this.#port
  }

  /** Opens the port; the same one as before. */
  async open(): Promise<void> {
    this.#silent = false
    const server = createServer((client) => {
      const upstream = connect(this.#target)
      for (const [from, to] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        this.#sockets.add(from)
        from.on('data', (bytes) => {
          if (!this.#silent) to.write(bytes)
        })
        from.on('error', () => {})
        from.on('close', () => {
          this.#sockets.delete(from)
          to.destroy()
        })
      }
    })
    this.#server = server
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(this.#port, '127.0.0.1', resolve)
    })
    this.#port = (server.address() as AddressInfo).port
  }

  /** Closes the port and every connection. */
  async cut(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    const server = this.#server
    this.#server = undefined
    if (server !== undefined) await new Promise((resolve) => server.close(resolve))
  }

  /** Keeps connections open but loses whatever is sent from now on. */
  hang(): void {
    this.#silent = true
  }
}
