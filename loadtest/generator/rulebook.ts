/** A rulebook brought into force as people do it: proposed by one, approved by another. */
import type { RuleChange } from '#domain/transactions/command.ts'
import type { IngestPublisher } from '#connectors/ingest/publisher.ts'
import { OperatingError } from '#platform/errors.ts'
import type { RecordPosition } from '#platform/kafka/producer.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { listRules } from '#platform/postgres/queries/list-rules.ts'

const BLANK = { currency: null, threshold: 0n, windowMs: 0, action: 'alert', enabled: true } as const

export interface RulebookOptions {
  readonly publisher: Pick<IngestPublisher, 'rules'>
  readonly pool: ReadPool
  readonly awaitApplied: (positions: Iterable<RecordPosition>) => Promise<void>
  /** Who acts: `<actor> author` and `<actor> reviewer`. */
  readonly actor: string
}

/** The text of the rulebook in force; null where there is none. */
export async function rulebookInForce(pool: ReadPool): Promise<string | null> {
  return (await listRules(pool)).find(({ type }) => type === 'rulebook')?.definition ?? null
}

/** An engine must run. @param definition JSON text @throws OperatingError `rulebook_not_in_force` where it isn't afterwards */
export async function bringRulebook(
  definition: string,
  { publisher, pool, awaitApplied, actor }: RulebookOptions,
): Promise<void> {
  const change = (type: 'rulebook' | 'rulebook_proposal', more: Partial<RuleChange>): RuleChange => ({
    ...BLANK,
    ruleId: type,
    type,
    actor,
    occurredAt: Date.now() - 60_000,
    ...more,
  })
  // A ledger that grows has it already.
  if ((await rulebookInForce(pool)) === definition) return
  await awaitApplied(
    await publisher.rules([change('rulebook_proposal', { definition, actor: `${actor} author` })]),
  )
  const proposal = (await listRules(pool)).find(({ type }) => type === 'rulebook_proposal')
  const approves = proposal?.version ?? 0n
  await awaitApplied(await publisher.rules([change('rulebook', { approves, actor: `${actor} reviewer` })]))
  if ((await rulebookInForce(pool)) !== definition)
    throw new OperatingError('rulebook_not_in_force', 'a rulebook was not brought into force')
}
