/** The demo's fraud rules: the built-in rulebook with its model, and what they found in a run. */
import { builtinModelJson, builtinRulebookWith } from '#domain/fraud/builtin/builtin.ts'
import { readFrames } from '#domain/ledger/batch-record.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { schemaOf } from '#platform/schema-registry/contracts.ts'
import type { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { AvroDecoder, writerIdOf } from '#platform/schema-registry/serde.ts'
import { tableBatches } from '#processors/audit/table-batches.ts'
import { TOPICS } from '#schemas/topics.ts'

/** What fraud rules found in a run. */
export interface FraudFindings {
  /** Transactions by what was done: alert, hold, reject. */
  readonly actions: Readonly<Record<string, number>>
  /** How often each rule or typology asked for what was done, most often first; weaker ones beside a stronger one don't count. */
  readonly rules: readonly { readonly ruleId: string; readonly action: string; readonly count: number }[]
}

interface Alert {
  readonly kind: string
  readonly source: string
  readonly action: string
  readonly rules: readonly { readonly ruleId: string; readonly action: string }[]
}

/**
 * The built-in rulebook and model, where they would hold they alert: the model of the generator says beforehand what becomes of every
 * transaction, and whether one is held must not hang on what was paid before it.
 */
export const demoRulebook = (): string =>
  JSON.stringify(
    { ...(builtinRulebookWith(builtinModelJson()) as object), name: 'demo' },
    (key, value: unknown) => (key === 'action' && value === 'hold' ? 'alert' : value),
  )

/** A rulebook that looks at nothing. */
export const EMPTY_RULEBOOK = JSON.stringify({ format: 1, name: 'none', version: 1, rules: [] })

/** What was found in the transactions of a source, in the batches after `after` up to `through`. */
export async function readFindings(
  pool: ReadPool,
  registry: SchemaRegistry,
  { source, after, through }: { readonly source: string; readonly after: bigint; readonly through: bigint },
): Promise<FraudFindings> {
  const decoder = new AvroDecoder<Alert>(registry, schemaOf(TOPICS.alerts))
  const batches = tableBatches(pool)
  const actions = new Map<string, number>()
  const rules = new Map<string, { ruleId: string; action: string; count: number }>()
  for await (const headers of batches.headers(after, through)) {
    for (const { sequence } of headers) {
      const payload = await batches.payload(sequence)
      if (payload === null) continue
      const values = [...readFrames(payload)]
        .filter(({ topic }) => topic === TOPICS.alerts.name)
        .map(({ value }) => value)
      await decoder.prepare(values.flatMap((value) => writerIdOf(value) ?? []))
      for (const alert of values.map((value) => decoder.decode(value))) {
        if (alert.kind !== 'rules' || alert.source !== source) continue
        actions.set(alert.action, (actions.get(alert.action) ?? 0) + 1)
        for (const { ruleId, action } of alert.rules) {
          if (action !== alert.action) continue
          const known = rules.get(ruleId) ?? { ruleId, action, count: 0 }
          rules.set(ruleId, { ...known, count: known.count + 1 })
        }
      }
    }
  }
  return {
    actions: Object.fromEntries(actions),
    rules: [...rules.values()].sort((a, b) => b.count - a.count || (a.ruleId < b.ruleId ? -1 : 1)),
  }
}
