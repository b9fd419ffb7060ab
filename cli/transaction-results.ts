/** How commands show what became of a transaction, and how they find one by its id. */
import { shownStatus } from '#api/routes/transactions/show-transaction.ts'
import { type CommandResult, exitCodes } from '#cli/command.ts'
import type { Submission } from '#cli/ledger-client.ts'
import { showPosition } from '#cli/writes.ts'
import { transactionKey } from '#domain/transactions/canonical.ts'
import { wordsOf } from '#domain/transactions/reason-texts.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { readOutcomes } from '#platform/postgres/queries/read-outcomes.ts'

/** Source of transactions that are posted by this command line. */
export const CLI_SOURCE = 'cli'

/** The source that was named; else the one under which the id is known: this command line's, or none. */
export async function sourceOf(pool: ReadPool, id: string, named: string | undefined): Promise<string> {
  if (named !== undefined) return named
  const [known] = await readOutcomes(pool, [transactionKey(CLI_SOURCE, id)])
  return known === undefined ? '' : CLI_SOURCE
}

/** The result of posting or reviewing: exit code 1 where the ledger refused it. */
export function outcomeResult(
  { outcome, position, traceId }: Submission,
  transaction: { id: string; source: string },
): CommandResult {
  const { id, source } = transaction
  const subject = { txn_id: id, source }
  const place = { position: showPosition(position), trace_id: traceId }
  if (outcome === null) {
    const text = `${id}: published, not waited for`
    return { json: { ...subject, status: 'pending', outcome: null, reason: null, ...place }, text }
  }
  const { decision, refusal, sequence } = outcome
  if (decision === null) {
    const reason = refusal?.reason ?? null
    const detail = refusal?.detail == null ? {} : { detail: refusal.detail }
    return {
      json: { ...subject, status: 'refused', outcome: null, reason, ...detail, sequence, ...place },
      text: `${id}: refused (${[reason ?? [], refusal?.detail ?? wordsOf(reason ?? '') ?? []].flat().join(': ')})`,
      exitCode: exitCodes.difference,
    }
  }
  const { status, reason, rules } = decision
  const words = reason === null ? [] : [[reason, wordsOf(reason) ?? []].flat().join(': ')]
  const why = [
    ...words,
    ...rules.map((rule) => `rule ${rule.ruleId}${rule.words === '' ? '' : `: ${rule.words}`}`),
  ]
  return {
    json: {
      ...subject,
      status: shownStatus(status),
      outcome: status,
      reason,
      rules: rules.map((rule) => ({
        rule_id: rule.ruleId,
        version: rule.version,
        value: rule.value,
        threshold: rule.threshold,
        action: rule.action,
        points: rule.points,
        words: rule.words,
      })),
      sequence,
      recorded_at: new Date(Number(decision.recordedAt)).toISOString(),
      ...place,
    },
    text: `${id}: ${status}${why.length === 0 ? '' : ` (${why.join(', ')})`}, sequence ${sequence}`,
    exitCode: status === 'rejected' ? exitCodes.difference : exitCodes.ok,
  }
}
