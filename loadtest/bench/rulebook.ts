/** The built-in rulebook brought into force as people do it: proposed by one, approved by another. */
import { builtinRulebookJson } from '#domain/fraud/builtin/builtin.ts'
import type { RuleChange } from '#domain/transactions/command.ts'
import { OperatingError } from '#platform/errors.ts'
import type { RecordPosition } from '#platform/kafka/producer.ts'
import { listRules } from '#platform/postgres/queries/list-rules.ts'
import type { BenchLedger } from './lab.ts'

const BLANK = { currency: null, threshold: 0n, windowMs: 0, action: 'alert', enabled: true } as const

const change = (type: 'rulebook' | 'rulebook_proposal', more: Partial<RuleChange>): RuleChange => ({
  ...BLANK,
  ruleId: type,
  type,
  actor: `bench ${type}`,
  occurredAt: Date.now() - 60_000,
  ...more,
})

/** An engine must run. @throws OperatingError `bench_wrong_result` where it isn't in force afterwards */
export async function bringRulebook(
  { publisher, pool }: BenchLedger,
  awaitApplied: (positions: Iterable<RecordPosition>) => Promise<void>,
): Promise<void> {
  const inForce = async (type: RuleChange['type']) =>
    (await listRules(pool)).find((rule) => rule.type === type)
  // A ledger that grows has it already.
  if ((await inForce('rulebook')) !== undefined) return
  const definition = JSON.stringify(builtinRulebookJson())
  await awaitApplied(await publisher.rules([change('rulebook_proposal', { definition })]))
  const proposal = await inForce('rulebook_proposal')
  await awaitApplied(await publisher.rules([change('rulebook', { approves: proposal?.version ?? 0n })]))
  if ((await inForce('rulebook')) === undefined) {
    throw new OperatingError('bench_wrong_result', 'the built-in rulebook was not brought into force')
  }
}
