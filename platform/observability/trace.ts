/**
 * Trace ids across processes, in the form of W3C Trace Context (https://www.w3.org/TR/trace-context/): a caller's `traceparent`
 * is gone on with, or a new trace begins. It travels in HTTP headers and in headers of Kafka records, and stands in log lines.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { randomBytes } from 'node:crypto'

export interface Trace {
  /** 32 hex digits, the same in every process that the request touches. */
  readonly traceId: string
  /** 16 hex digits: this process' part. */
  readonly spanId: string
  /** Two hex digits, as the caller sent them; bit 0 = the caller records it. */
  readonly flags: string
}

/** The header's name, over HTTP and in Kafka. */
export const TRACE_HEADER = 'traceparent'
/** Length of version 00; longer ones of later versions begin with the same parts. */
const HEADER_LENGTH = 55
const HEADER = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/
const NOT_RECORDED = '00'

/** What a `traceparent` says; undefined where it is none, or is invalid (then a new trace has to begin). */
export function parseTraceparent(header: string | undefined): Trace | undefined {
  const [, version, traceId, spanId, flags, more] = HEADER.exec(header ?? '') ?? []
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined
  if (version === 'ff' || (version === '00' && more !== undefined)) return undefined
  return /^0+$/.test(traceId) || /^0+$/.test(spanId) ? undefined : { traceId, spanId, flags }
}

/** Goes on with the caller's trace, as a part of its own; begins a new one where there is none. */
export function continueTrace(header: string | undefined): Trace {
  const { traceId, flags } = parseTraceparent(header) ?? { traceId: freshId(16), flags: NOT_RECORDED }
  return { traceId, spanId: freshId(8), flags }
}

/** Random, and never with as many digits in a row as a card number has: those are masked in logs. */
function freshId(bytes: number): string {
  for (;;) {
    const id = randomBytes(bytes).toString('hex')
    if (!/\d{13}|^0+$/.test(id)) return id
  }
}

/** The header that names a trace. */
export const traceparentOf = ({ traceId, spanId, flags }: Trace): string => `00-${traceId}-${spanId}-${flags}`

/** The text of a Kafka record's trace header, not checked yet; undefined where the record has none. */
export const traceHeaderOf = (headers: Readonly<Record<string, Buffer>> | undefined): string | undefined =>
  headers?.[TRACE_HEADER]?.toString('latin1', 0, HEADER_LENGTH)

const current = new AsyncLocalStorage<{ trace: Trace; requestId: string | undefined }>()

/** Runs work that belongs to a trace: what it logs and publishes names it. */
export const withTrace = <Result>(trace: Trace, requestId: string | undefined, work: () => Result): Result =>
  current.run({ trace, requestId }, work)

/** The trace of the work that runs now. */
export const currentTrace = (): Trace | undefined => current.getStore()?.trace

/** What each log line of such work gets. */
export function traceFields(): { traceId?: string; requestId?: string } {
  const store = current.getStore()
  if (store === undefined) return {}
  const { trace, requestId } = store
  return { traceId: trace.traceId, ...(requestId === undefined ? {} : { requestId }) }
}
