/** Publishing dead letters again, one or many, each recorded by a command so that their status says so. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CommandContext } from '#cli/command.ts'
import { type RetryChanges, retryRecord } from '#cli/dead-letters/retry-record.ts'
import type { LedgerWriter, Submission } from '#cli/ledger-client.ts'
import { deadLetterName } from '#domain/ledger/dead-letters.ts'
import { OperatingError } from '#platform/errors.ts'
import { countDeadLettersAt } from '#platform/postgres/queries/count-dead-letters-at.ts'
import type { Cursor } from '#platform/postgres/queries/cursor.ts'
import type { LogPosition } from '#platform/postgres/queries/read-applied-offsets.ts'
import { readDeadLetter, type StoredDeadLetter } from '#platform/postgres/queries/read-dead-letter.ts'
import { type DeadLetterFilter, readDeadLetters } from '#platform/postgres/queries/read-dead-letters.ts'

export interface Retried {
  /** Where the bytes stand now. */
  readonly position: LogPosition
  /** The command that records it. */
  readonly submission: Submission
}

/**
 * Publishes one letter's record again and records that. In this order: one that was published but not recorded is still open,
 * and the same again is a duplicate; the other way round it could be recorded and never published.
 *
 * @param options.waitMs for the command to be applied; 0 = not at all
 * @throws OperatingError as `retryRecord`; what publishing throws
 */
export async function retryLetter(
  ledger: LedgerWriter,
  letter: StoredDeadLetter,
  options: {
    readonly changes: RetryChanges
    readonly actor: string
    readonly note: string | null
    readonly waitMs: number
  },
): Promise<Retried> {
  const { parameters, ...record } = retryRecord(letter, options.changes)
  const position = await ledger.publishBytes(record)
  const subject = deadLetterName(letter)
  const command = {
    id: randomUUID(),
    kind: 'dead_letter.retried',
    subject,
    parameters: {
      topic: position.topic,
      partition: String(position.partition),
      offset: String(position.offset),
      ...parameters,
    },
    actor: options.actor,
    reason: options.note,
  }
  return { position, submission: await ledger.submit('commands', subject, command, options.waitMs) }
}

export interface BulkOptions {
  readonly filter: DeadLetterFilter
  readonly actor: string
  readonly note: string | null
  /** Most letters to retry, and how many a second. */
  readonly lettersMax: number
  readonly perSecondMax: number
  readonly waitMs: number
}

export interface BulkResult {
  readonly retried: number
  readonly skipped: readonly { readonly letter: string; readonly code: string }[]
  /** How many of them came to be dead letters again; null where nobody waited. */
  readonly deadAgain: number | null
  /** Whether that was all of them. */
  readonly complete: boolean
}

const PAGE_SIZE = 100

/**
 * Retries open letters, the oldest first. Those that came since the command began are left out: else a letter that dies again
 * would be retried for ever.
 */
export async function retryAll(
  context: CommandContext,
  ledger: LedgerWriter,
  options: BulkOptions,
): Promise<BulkResult> {
  const skipped: { letter: string; code: string }[] = []
  const positions: LogPosition[] = []
  const filter = { ...options.filter, status: 'open' as const, sequenceMax: ledger.progress.sequence }
  let last: Submission | null = null
  let after: Cursor | null = null
  for (;;) {
    const page = await readDeadLetters(ledger.pool, { after, limit: PAGE_SIZE, filter, order: 'oldest' })
    for (const summary of page.items) {
      if (positions.length >= options.lettersMax) return finish(false)
      context.signal.throwIfAborted()
      const startedMs = performance.now()
      const retried = await retryOrSkip(ledger, summary, options)
      if (typeof retried === 'string') skipped.push({ letter: deadLetterName(summary), code: retried })
      else {
        positions.push(retried.position)
        last = retried.submission
        await sleep(Math.max(0, 1000 / options.perSecondMax - (performance.now() - startedMs)))
      }
    }
    if (page.next === null) return finish(true)
    after = page.next
  }

  async function finish(complete: boolean): Promise<BulkResult> {
    const base = { retried: positions.length, skipped, complete }
    if (options.waitMs === 0 || last === null) return { ...base, deadAgain: last === null ? 0 : null }
    await ledger.outcomeOf(last.position, options.waitMs)
    for (const position of lastOfEach(positions)) await ledger.outcomeOf(position, options.waitMs)
    return { ...base, deadAgain: await countDeadLettersAt(ledger.pool, positions) }
  }
}

/** The retried letter, or the code of why it can't be. */
async function retryOrSkip(
  ledger: LedgerWriter,
  position: LogPosition,
  options: BulkOptions,
): Promise<Retried | string> {
  const letter = await readDeadLetter(ledger.pool, position)
  if (letter === undefined) return 'dead_letter_unknown'
  try {
    retryRecord(letter, {})
  } catch (error) {
    if (error instanceof OperatingError) return error.code
    throw error
  }
  const { actor, note } = options
  return await retryLetter(ledger, letter, { changes: {}, actor, note, waitMs: 0 })
}

/** The last position of each partition: once it is applied, so are those before it. */
function lastOfEach(positions: readonly LogPosition[]): LogPosition[] {
  const last = new Map<string, LogPosition>()
  for (const position of positions) last.set(`${position.topic}:${position.partition}`, position)
  return [...last.values()]
}
