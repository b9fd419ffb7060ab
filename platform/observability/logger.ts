/** Structured logs: one JSON object a line on standard error, never on standard output, which belongs to a command's result. */
import { pino } from 'pino'
import { traceFields } from './trace.ts'

/** What code logs through; `child` adds fields to every line. */
export type Logger = pino.Logger

export interface LoggerOptions {
  level: string
  /** Which program speaks: `processor`, `publisher`, `api`, `cli`. */
  service: string
  /** Rewrites each finished line before it leaves, for instance to mask card numbers wherever they turned up. */
  redactText?: (line: string) => string
  /** Where lines go instead of standard error; for tests. */
  write?: (line: string) => void
}

/**
 * Makes a logger. Levels: error = somebody must act; warn = unusual, handled; info = what an operator follows; debug = the rest.
 * Writing is synchronous: what was logged before a SIGKILL is what explains it.
 */
export function createLogger(options: LoggerOptions): Logger {
  const destination =
    options.write === undefined ? pino.destination({ fd: 2, sync: true }) : { write: options.write }
  const { redactText } = options
  const stream =
    redactText === undefined
      ? destination
      : { write: (line: string) => void destination.write(redactText(line)) }
  return pino(
    {
      level: options.level,
      base: { service: options.service, pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      // A request's lines name its trace, whoever writes them.
      mixin: traceFields,
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  )
}
