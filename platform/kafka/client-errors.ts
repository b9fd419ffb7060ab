/** Turns what kafkajs throws into operating errors with stable codes, and puts a time limit on its promises. */
import { OperatingError, UnreachableError } from '#platform/errors.ts'

interface ClientError extends Error {
  type?: string
  code?: unknown
  retriable?: boolean
  originalError?: unknown
  errors?: unknown[]
}

/** Protocol error types by which a broker says that another producer took the transactional id over. */
const FENCED_TYPES = new Set(['INVALID_PRODUCER_EPOCH', 'PRODUCER_FENCED', 'TRANSACTION_COORDINATOR_FENCED'])
const TOO_LARGE_TYPES = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE'])

/** The error and what it was caused by, outermost first (kafkajs wraps protocol errors once or twice). At most ten deep. */
function chainOf(error: unknown): ClientError[] {
  const chain: ClientError[] = []
  let current = error as ClientError | undefined
  while (current instanceof Error && chain.length < 10) {
    chain.push(current)
    current = (current.cause ?? current.originalError ?? current.errors?.[0]) as ClientError | undefined
  }
  return chain
}

/** The broker's own error type (for example MESSAGE_TOO_LARGE) wherever it is wrapped; undefined where no broker answered. */
export function protocolTypeOf(error: unknown): string | undefined {
  return chainOf(error).find(({ type }) => typeof type === 'string')?.type
}

/** True where another producer has taken the transactional id over. */
export function isFenced(error: unknown): boolean {
  return chainOf(error).some(({ type }) => type !== undefined && FENCED_TYPES.has(type))
}

/** True where a record or batch is larger than the broker takes. */
export function isTooLarge(error: unknown): boolean {
  return chainOf(error).some(({ type }) => type !== undefined && TOO_LARGE_TYPES.has(type))
}

/** What a request to Kafka failed with: `kafka_unreachable` where nobody answered, else `kafka_refused` with the broker's type. */
export function asOperatingError(error: unknown, doing: string): OperatingError {
  if (error instanceof OperatingError) return error
  const type = protocolTypeOf(error)
  const reason = error instanceof Error ? error.message : String(error)
  if (type === undefined) return new UnreachableError('kafka', `${doing}: ${reason}`, { cause: error })
  const retriable = chainOf(error).some((link) => link.type === type && link.retriable === true)
  return new OperatingError('kafka_refused', `${doing}: ${type}: ${reason}`, { retriable, cause: error })
}

/**
 * Waits for a promise at most so long; afterwards its outcome is ignored.
 * @throws UnreachableError `kafka_unreachable` when the time is over
 */
export async function within<T>(promise: Promise<T>, timeoutMs: number, doing: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new UnreachableError('kafka', `${doing}: no answer within ${timeoutMs} ms`)),
      timeoutMs,
    )
  })
  try {
    return await Promise.race([promise, timeout])
  } finally {
    clearTimeout(timer)
    promise.catch(() => undefined)
  }
}
