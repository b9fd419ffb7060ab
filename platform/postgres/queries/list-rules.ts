/** Lists the fraud rules: of each name the newest version, also those that are switched off. */
import type { RuleChange } from '#domain/transactions/command.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'

export interface StoredRule extends Omit<RuleChange, 'occurredAt' | 'definition' | 'approves'> {
  /** Sequence of the batch that brought it. */
  readonly version: bigint
  /** Rulebooks: their JSON; who proposed the one in force. */
  readonly definition: string | null
  readonly author: string | null
}

interface Row {
  version: bigint
  /** Numbers of 64 bits are strings in it. */
  body: Omit<RuleChange, 'threshold' | 'occurredAt' | 'approves'> & { threshold: string; author?: string }
}

const TEXT = `select distinct on (rule_id) version, body from rules order by rule_id, version desc, index desc`

/** All rules, in order of their names. */
export async function listRules(pool: ReadPool): Promise<StoredRule[]> {
  const rows = await pool.query<Row>({ text: TEXT })
  return rows.map(({ version, body }) => ({
    ruleId: body.ruleId,
    type: body.type,
    currency: body.currency,
    threshold: BigInt(body.threshold),
    windowMs: Number(body.windowMs),
    action: body.action,
    enabled: body.enabled,
    actor: body.actor,
    version,
    definition: body.definition ?? null,
    author: body.author ?? null,
  }))
}
