/** Operating errors: what a running system can meet. Each has a stable code, says whether a retry can help, and keeps its cause. */

/**
 * An error of operation (a service away, bad configuration, a position outside the log), never a business outcome:
 * those are values (see domain/transactions/outcomes.ts). Programmer errors are plain assertions.
 */
export class OperatingError extends Error {
  /** Stable, lower snake case; documented in docs/errors.md and safe to match on. */
  readonly code: string
  /** True where the same call may succeed later without anybody changing anything. */
  readonly retriable: boolean

  constructor(code: string, message: string, options: { retriable?: boolean; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'OperatingError'
    this.code = code
    this.retriable = options.retriable ?? false
  }
}

/** Bad configuration or usage: start-up stops (exit code 2). The message says what was expected and what was found. */
export class ConfigurationError extends OperatingError {
  constructor(message: string, options: { cause?: unknown; code?: string } = {}) {
    super(options.code ?? 'configuration_invalid', message, options)
    this.name = 'ConfigurationError'
  }
}

/** A service did not answer in time (exit code 3). */
export class UnreachableError extends OperatingError {
  constructor(service: string, message: string, options: { cause?: unknown } = {}) {
    super(`${service}_unreachable`, message, { retriable: true, ...options })
    this.name = 'UnreachableError'
  }
}

/**
 * The stored history and the world disagree (a position outside the log, a topic made anew, a database older than what
 * was published). The engine stops the part concerned, says so and never resets by itself.
 */
export class IncidentError extends OperatingError {
  constructor(code: string, message: string, options: { cause?: unknown } = {}) {
    super(code, message, options)
    this.name = 'IncidentError'
  }
}
