/**
 * The one door to Redis. It is a cache, so it must never hold anybody up: nothing is queued while it is away, commands have a
 * short time-out, and a command cut off by a lost connection isn't sent again behind its caller's back.
 */
import { Redis } from 'ioredis'
import { UnreachableError } from '#platform/errors.ts'

export type RedisClient = Redis

export interface RedisClientOptions {
  /** `redis://` or, for TLS, `rediss://`; may carry user, password and database number. */
  url: string
  /** Certificate authority to trust besides the system's (PEM text). */
  sslCa?: string | undefined
  /** Shown by CLIENT LIST: which program this is. */
  connectionName: string
  connectTimeoutMs?: number
  /** A command that takes longer is given up (it may still take effect in Redis). */
  commandTimeoutMs?: number
  /** Called with every connection error; they are many while Redis is away. */
  onError?: (error: Error) => void
}

const RECONNECT_DELAY_MAX_MS = 1000

/** Waits before the reconnection attempt number `attempt` (from 1): doubling from 50 ms, at most a second, with jitter. */
export const reconnectDelayMs = (attempt: number, random: () => number = Math.random): number =>
  Math.min(RECONNECT_DELAY_MAX_MS, 50 * 2 ** Math.min(attempt - 1, 10)) * (0.75 + random() / 4)

/**
 * Opens a client that connects in the background and goes on reconnecting. Commands sent while it isn't connected fail at once.
 * Close it with `closeRedis`.
 */
export function openRedis(options: RedisClientOptions): RedisClient {
  const client = new Redis(options.url, {
    connectionName: options.connectionName,
    connectTimeout: options.connectTimeoutMs ?? 1000,
    commandTimeout: options.commandTimeoutMs ?? 250,
    enableOfflineQueue: false,
    // A command sent again after a reconnection would run after later ones.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (attempt) => reconnectDelayMs(attempt),
    ...(options.sslCa === undefined ? {} : { tls: { ca: [options.sslCa] } }),
  })
  // Without a listener ioredis prints every connection error to the console.
  client.on('error', options.onError ?? (() => {}))
  return client
}

/**
 * Waits until the client can take commands.
 *
 * @throws UnreachableError after `timeoutMs`.
 */
export async function untilRedisReady(client: RedisClient, timeoutMs: number): Promise<void> {
  if (client.status === 'ready') return
  await new Promise<void>((resolve, reject) => {
    const onReady = () => {
      clearTimeout(timer)
      resolve()
    }
    const timer = setTimeout(() => {
      client.off('ready', onReady)
      reject(new UnreachableError('redis', `Redis gave no answer within ${timeoutMs} ms`))
    }, timeoutMs)
    client.once('ready', onReady)
  })
}

/** True when Redis answers now. Never throws. */
export async function redisIsUp(client: RedisClient): Promise<boolean> {
  try {
    return (await client.ping()) === 'PONG'
  } catch {
    return false
  }
}

/** Ends the connection; nothing is sent any more. */
export function closeRedis(client: RedisClient): void {
  client.disconnect()
}
