/** Results of commands that changed reference data: what the ledger made of the change, and what is there now. */
import { type CommandResult, exitCodes } from '#cli/command.ts'
import type { Submission } from '#cli/ledger-client.ts'
import { wordsOf } from '#domain/transactions/reason-texts.ts'
import { OperatingError } from '#platform/errors.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { type AccountDetails, readAccount } from '#platform/postgres/queries/read-account.ts'
import type { LogPosition } from '#platform/postgres/queries/read-applied-offsets.ts'

/** @throws OperatingError `account_not_found` */
export async function requireAccount(pool: ReadPool, accountId: string): Promise<AccountDetails> {
  const account = await readAccount(pool, accountId)
  if (account !== undefined) return account
  throw new OperatingError('account_not_found', `there is no account ${JSON.stringify(accountId)}`)
}

/** Where a record stands, for JSON. */
export const showPosition = ({ topic, partition, offset }: LogPosition) => ({
  topic,
  partition,
  offset: offset.toString(),
})

/**
 * The result of a change: `result` is applied, refused (exit code 1) or pending (nobody waited).
 *
 * @param shown.subject What was to change; `state` and `text`: what is there now.
 */
export function changeResult(
  submission: Submission,
  shown: { subject: Record<string, unknown>; state: Record<string, unknown>; text: string },
): CommandResult {
  const { outcome, position, traceId } = submission
  const place = { position: showPosition(position), trace_id: traceId }
  if (outcome === null) {
    const json = { ...shown.subject, result: 'pending', ...place }
    return { json, text: `published to ${position.topic}, not waited for` }
  }
  const { refusal } = outcome
  const json = {
    ...shown.subject,
    result: refusal === null ? 'applied' : 'refused',
    reason: refusal?.reason ?? null,
    ...(refusal?.detail == null ? {} : { detail: refusal.detail }),
    sequence: outcome.sequence,
    ...shown.state,
    ...place,
  }
  if (refusal === null) return { json, text: shown.text }
  const words = refusal.detail ?? wordsOf(refusal.reason)
  const detail = words === undefined ? '' : ` (${words})`
  return { json, text: `refused: ${refusal.reason}${detail}\n${shown.text}`, exitCode: exitCodes.difference }
}
