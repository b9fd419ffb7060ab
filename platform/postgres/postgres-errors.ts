/** What Postgres and its client throw, as coded errors. */
import { OperatingError, UnreachableError } from '#platform/errors.ts'

/** Postgres' own error codes that a new try can cure. */
const RETRIABLE_CODES = /^(08|57P|40|53|55P03|25P03|25P04)/
const CAS_FAILED = 'TS001'

/** Turns what pg throws into coded errors. */
export const asOperatingError = (error: unknown): OperatingError => {
  if (error instanceof OperatingError) return error
  const code = (error as { code?: unknown }).code
  const message = error instanceof Error ? error.message : String(error)
  if (code === CAS_FAILED) {
    return new OperatingError('compare_and_swap_failed', message, { retriable: true, cause: error })
  }
  // Every code of Postgres has a digit; EPIPE, which is as long, has none.
  if (typeof code === 'string' && /^(?=.*\d)[0-9A-Z]{5}$/.test(code) && !RETRIABLE_CODES.test(code)) {
    return new OperatingError('postgres_failed', `${code}: ${message}`, { cause: error })
  }
  return new UnreachableError('postgres', message, { cause: error })
}
