/** Trace ids: what of a caller's header is gone on with, and that log lines name the trace of the work that wrote them. */
import { expect, test } from 'vitest'
import { createLogger } from './logger.ts'
import { continueTrace, currentTrace, parseTraceparent, traceparentOf, withTrace } from './trace.ts'

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN_ID = '00f067aa0ba902b7'
const HEADER = `00-${TRACE_ID}-${SPAN_ID}-01`

test('a caller’s trace goes on under a part of its own', () => {
  expect(parseTraceparent(HEADER)).toEqual({ traceId: TRACE_ID, spanId: SPAN_ID, flags: '01' })
  const trace = continueTrace(HEADER)
  expect(trace).toMatchObject({ traceId: TRACE_ID, flags: '01' })
  expect(trace.spanId).not.toBe(SPAN_ID)
  expect(parseTraceparent(traceparentOf(trace))).toEqual(trace)
})

test.each([
  undefined,
  '',
  'nonsense',
  HEADER.toUpperCase(),
  `ff-${TRACE_ID}-${SPAN_ID}-01`,
  `00-${'0'.repeat(32)}-${SPAN_ID}-01`,
  `00-${TRACE_ID}-${'0'.repeat(16)}-01`,
  `${HEADER}-more`,
])('%j begins a new trace', (header) => {
  expect(parseTraceparent(header)).toBeUndefined()
  expect(continueTrace(header).traceId).toMatch(/^[0-9a-f]{32}$/)
  expect(continueTrace(header).traceId).not.toBe(continueTrace(header).traceId)
})

test('a later version is read by the parts that it shares', () => {
  expect(parseTraceparent(`cc-${TRACE_ID}-${SPAN_ID}-01-what-comes`)).toMatchObject({ traceId: TRACE_ID })
})

test('log lines and what is published name the trace of their own work', async () => {
  const lines: string[] = []
  const logger = createLogger({ level: 'info', service: 'test', write: (line) => lines.push(line) })
  const traces = [continueTrace(undefined), continueTrace(undefined)]
  await Promise.all(
    traces.map((trace, place) =>
      withTrace(trace, `request-${place}`, async () => {
        await new Promise((resolve) => setTimeout(resolve, 1))
        expect(currentTrace()).toBe(trace)
        logger.info('inside')
      }),
    ),
  )
  logger.info('outside')
  const fields = lines.map((line) => JSON.parse(line) as { traceId?: string; requestId?: string })
  expect(fields.slice(0, 2).map(({ traceId }) => traceId)).toEqual(traces.map(({ traceId }) => traceId))
  expect(fields[1]).toMatchObject({ requestId: 'request-1' })
  expect(fields[2]).not.toHaveProperty('traceId')
})
