/** Asks each service, in its own protocol, whether it really answers: an open port alone says little (Postgres recovers behind it). */
import { exchange } from '#infra/local/ports.ts'

const PROBE_TIMEOUT_MS = 2000

/** The calls made here; numbers, versions and layouts are those of the Kafka protocol guide. */
const kafkaCalls = {
  metadata: { apiKey: 3, version: 1 },
  findCoordinator: { apiKey: 10, version: 1 },
  offsetFetch: { apiKey: 9, version: 2 },
} as const

/** Sends one request (header v1) and returns the response's body, or undefined. */
async function callKafka(
  address: { host: string; port: number },
  { apiKey, version }: (typeof kafkaCalls)[keyof typeof kafkaCalls],
  body: Buffer,
): Promise<Buffer | undefined> {
  const header = Buffer.alloc(14)
  header.writeInt32BE(10 + body.length, 0)
  header.writeInt16BE(apiKey, 4)
  header.writeInt16BE(version, 6)
  header.writeInt32BE(7, 8) // correlation id
  header.writeInt16BE(-1, 12) // no client id
  const answer = await exchange({
    ...address,
    request: Buffer.concat([header, body]),
    isComplete: (received) => received.length >= 4 && received.length >= 4 + received.readInt32BE(0),
    timeoutMs: PROBE_TIMEOUT_MS,
  })
  return answer !== undefined && answer.length >= 8 && answer.readInt32BE(4) === 7
    ? answer.subarray(8)
    : undefined
}

function kafkaString(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8')
  const length = Buffer.alloc(2)
  length.writeInt16BE(bytes.length, 0)
  return Buffer.concat([length, bytes])
}

/** True when a broker answers a Metadata request naming at least one broker. */
export async function kafkaAnswers(host: string, port: number): Promise<boolean> {
  const noTopics = Buffer.alloc(4)
  const answer = await callKafka({ host, port }, kafkaCalls.metadata, noTopics)
  return answer !== undefined && answer.length >= 4 && answer.readInt32BE(0) > 0
}

/**
 * True when the coordinators of groups and of transactions are there too. Asking makes their topics on a new broker; without
 * it the first consumers and producers of a run meet NOT_COORDINATOR for a moment.
 */
export async function kafkaCoordinatorsAnswer(host: string, port: number): Promise<boolean> {
  const address = { host, port }
  for (const keyType of [0, 1]) {
    const body = Buffer.concat([kafkaString('tallystream-probe'), Buffer.from([keyType])])
    const answer = await callKafka(address, kafkaCalls.findCoordinator, body)
    // Throttle time, then the error code.
    if (answer === undefined || answer.length < 6 || answer.readInt16BE(4) !== 0) return false
  }
  const noTopics = Buffer.alloc(4)
  const group = Buffer.concat([kafkaString('tallystream-probe'), noTopics])
  const offsets = await callKafka(address, kafkaCalls.offsetFetch, group)
  // An empty list of topics, then the error code.
  return offsets !== undefined && offsets.length >= 6 && offsets.readInt16BE(4) === 0
}

/**
 * True when Postgres asks for authentication: then it takes connections. While it starts or recovers it answers with an error.
 * Bytes: PostgreSQL documentation, "Message Formats", StartupMessage 3.0.
 */
export async function postgresAnswers(host: string, port: number, user: string): Promise<boolean> {
  const parameters = Buffer.from(`user\0${user}\0database\0postgres\0\0`, 'utf8')
  const head = Buffer.alloc(8)
  head.writeInt32BE(8 + parameters.length, 0)
  head.writeInt32BE(3 << 16, 4)
  const answer = await exchange({
    host,
    port,
    request: Buffer.concat([head, parameters]),
    isComplete: (received) => received.length > 0,
    timeoutMs: PROBE_TIMEOUT_MS,
  })
  return answer?.[0] === 'R'.charCodeAt(0)
}

/** True when Redis answers PING (after AUTH where a password is given). */
export async function redisAnswers(host: string, port: number, password?: string): Promise<boolean> {
  const request = password ? `AUTH ${password}\r\nPING\r\n` : 'PING\r\n'
  const expected = password ? '+OK\r\n+PONG\r\n' : '+PONG\r\n'
  const answer = await exchange({
    host,
    port,
    request: Buffer.from(request),
    isComplete: (received) => received.length >= expected.length,
    timeoutMs: PROBE_TIMEOUT_MS,
  })
  return answer?.toString('latin1') === expected
}

/** True when the registry lists its subjects (Confluent API v7). */
export async function registryAnswers(url: string): Promise<boolean> {
  try {
    const answer = await fetch(`${url}/subjects`, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) })
    await answer.arrayBuffer()
    return answer.ok
  } catch {
    return false
  }
}
