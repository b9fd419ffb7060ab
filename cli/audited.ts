/** Notes administrative commands in the ledger's audit log, after they ended: what was asked for, by whom, and how it ended. */
import { loadConfiguration } from '#cli/configuration.ts'
import { defaultActor } from '#cli/options.ts'
import { OperatingError } from '#platform/errors.ts'
import { AuditLog } from '#platform/postgres/audit-log.ts'
import { makeEnginePool } from '#platform/postgres/engine-pool.ts'

/** A command that has ended. */
export interface Act {
  /** For example `rules set`. */
  readonly command: string
  readonly positional: readonly string[]
  readonly options: Readonly<Record<string, unknown>>
  readonly exitCode: number
  /** Code of the error that ended it; null where none did. */
  readonly error: string | null
}

/** Options that say how to show something, not what to do. */
const SHOWN_ONLY: ReadonlySet<string> = new Set(['json', 'actor'])

/**
 * Notes it. A ledger without tables has no log yet.
 * @throws UnreachableError, OperatingError `postgres_failed`
 */
export async function noteAct(act: Act): Promise<void> {
  const { postgres } = loadConfiguration()
  const pool = makeEnginePool(postgres, { applicationName: 'tallystream audit log', connectionsMax: 1 })
  const { actor } = act.options
  const options = Object.fromEntries(Object.entries(act.options).filter(([name]) => !SHOWN_ONLY.has(name)))
  try {
    await new AuditLog(pool).append([
      {
        atMs: Date.now(),
        actor: typeof actor === 'string' ? actor : defaultActor(),
        action: `cli ${act.command}`,
        subject: act.positional.join(' '),
        details: { options, exit_code: act.exitCode, ...(act.error === null ? {} : { error: act.error }) },
      },
    ])
  } catch (error) {
    if (!isMissing(error)) throw error
  } finally {
    await pool.end()
  }
}

/** 3F000: no such schema; 42P01: no such table. */
const isMissing = (error: unknown): boolean => {
  const { cause } = error as { cause?: { code?: unknown } }
  return error instanceof OperatingError && /^(42P01|3F000)$/.test(String(cause?.code))
}
