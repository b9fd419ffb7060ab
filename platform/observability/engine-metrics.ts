/** What operators see of the engine: Prometheus metrics of processors and publishers. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client'

const SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5]

/** Metrics of one process, in a registry of their own. */
export const makeEngineMetrics = () => {
  const registry = new Registry()
  const registers = [registry]
  return {
    registry,
    outcomes: new Counter({
      name: 'tallystream_decisions_total',
      help: 'Decisions by status and reason',
      labelNames: ['status', 'reason'] as const,
      registers,
    }),
    deadLetters: new Counter({
      name: 'tallystream_dead_letters_total',
      help: 'Records that could not be read, by reason',
      labelNames: ['reason'] as const,
      registers,
    }),
    batchRecords: new Histogram({
      name: 'tallystream_batch_records',
      help: 'Inputs in a batch',
      buckets: [1, 2, 5, 10, 50, 100, 500, 1_000, 2_000, 5_000, 10_000],
      registers,
    }),
    batchSeconds: new Histogram({
      name: 'tallystream_batch_phase_seconds',
      help: 'How long each phase of a batch took',
      labelNames: ['phase'] as const,
      buckets: SECONDS,
      registers,
    }),
    sequence: new Gauge({
      name: 'tallystream_ledger_sequence',
      help: 'Last batch committed here',
      registers,
    }),
    lag: new Gauge({
      name: 'tallystream_ingest_lag_records',
      help: 'Records between what is applied and the end of the partition',
      labelNames: ['topic', 'partition'] as const,
      registers,
    }),
    afterTimedOut: new Counter({
      name: 'tallystream_after_waits_timed_out_total',
      help: 'Waits for a record named in `after` that ended without it: each held its partition for 10 s',
      labelNames: ['topic'] as const,
      registers,
    }),
    partitionsWaiting: new Gauge({
      name: 'tallystream_partitions_waiting',
      help: 'Partitions that wait now: for a record named in `after`, for a schema that the registry does not tell',
      labelNames: ['for'] as const,
      registers,
    }),
    partitionsTaken: new Counter({
      name: 'tallystream_partitions_taken_total',
      help: 'Partitions taken here; each time the epoch is raised, which fences whoever had it',
      registers,
    }),
    failures: new Counter({
      name: 'tallystream_failures_total',
      help: 'Failures that a processor or publisher went on after, by code; compare_and_swap_failed and publisher_fenced: it was fenced',
      labelNames: ['part', 'code'] as const,
      registers,
    }),
    cacheWrites: new Counter({
      name: 'tallystream_cache_writes_total',
      help: 'Rounds of balances for Redis: applied, renewed (an empty cache was begun) or unavailable (gone on without)',
      labelNames: ['result'] as const,
      registers,
    }),
    cacheBalances: new Counter({
      name: 'tallystream_cache_balances_written_total',
      help: 'Balances handed to Redis in rounds that were applied',
      registers,
    }),
    published: new Gauge({
      name: 'tallystream_published_sequence',
      help: 'Last batch published from here',
      registers,
    }),
    publishSeconds: new Histogram({
      name: 'tallystream_publish_seconds',
      help: 'How long a round of publishing took',
      buckets: SECONDS,
      registers,
    }),
    publishedMessages: new Counter({
      name: 'tallystream_published_messages_total',
      help: 'Messages published',
      registers,
    }),
    takeOvers: new Counter({
      name: 'tallystream_publisher_takeovers_total',
      help: 'Times that publishing was taken over here: fences of the one before',
      registers,
    }),
    membersRemoved: new Counter({
      name: 'tallystream_dead_members_removed_total',
      help: 'Dead processors that this one had the consumer group go on without',
      registers,
    }),
    archived: new Gauge({
      name: 'tallystream_archived_sequence',
      help: 'Last batch archived from here',
      registers,
    }),
    reconciledMatches: new Counter({
      name: 'tallystream_reconciliation_matches_total',
      help: 'Matches made (made) and taken back (ended) by pair of sources and pass',
      labelNames: ['pair', 'pass', 'change'] as const,
      registers,
    }),
    reconciliationOpen: new Gauge({
      name: 'tallystream_reconciliation_open_items',
      help: 'Items of a pair of sources that nothing matches',
      labelNames: ['pair'] as const,
      registers,
    }),
    reconciliationItems: new Gauge({
      name: 'tallystream_reconciliation_matched_items',
      help: 'Items of a pair of sources by the pass that matched them; with open_items they are all that are not settled by people',
      labelNames: ['pair', 'pass'] as const,
      registers,
    }),
    reconciliationOpenValue: new Gauge({
      name: 'tallystream_reconciliation_open_value',
      help: 'Sum of the amounts of open items, without sign, in minor units',
      labelNames: ['pair', 'currency'] as const,
      registers,
    }),
    reconciliationOldest: new Gauge({
      name: 'tallystream_reconciliation_oldest_days',
      help: 'Age of the oldest open item',
      labelNames: ['pair'] as const,
      registers,
    }),
    reconciliationBreaks: new Gauge({
      name: 'tallystream_reconciliation_breaks',
      help: 'Breaks that are not closed, by kind and severity',
      labelNames: ['pair', 'kind', 'severity'] as const,
      registers,
    }),
    reconciliationPublished: new Gauge({
      name: 'tallystream_reconciliation_published_sequence',
      help: 'Last results of reconciliation that left from here',
      registers,
    }),
    incidents: new Counter({
      name: 'tallystream_incidents_total',
      help: 'Incidents: where the engine stopped a part and a person must look',
      labelNames: ['code'] as const,
      registers,
    }),
  }
}

export type EngineMetrics = ReturnType<typeof makeEngineMetrics>

/** Counts the outcomes of a batch. Added up first: a metric with labels costs about a microsecond, and there are thousands of decisions in a batch. */
export const countOutcomes = (
  metrics: EngineMetrics,
  decisions: readonly { readonly status: string; readonly reason: string | null }[],
): void => {
  const counts = new Map<string, Map<string, number>>()
  for (const { status, reason } of decisions) {
    let byReason = counts.get(status)
    if (byReason === undefined) {
      byReason = new Map()
      counts.set(status, byReason)
    }
    byReason.set(reason ?? '', (byReason.get(reason ?? '') ?? 0) + 1)
  }
  for (const [status, byReason] of counts) {
    for (const [reason, count] of byReason) metrics.outcomes.inc({ status, reason }, count)
  }
}

/** Counts what a portion changed in a pair of sources. */
export const countReconciled = (
  metrics: EngineMetrics,
  pair: string,
  delta: { readonly matched: readonly { pass: string }[]; readonly unmatched: readonly { pass: string }[] },
): void => {
  for (const { pass } of delta.matched) metrics.reconciledMatches.inc({ pair, pass, change: 'made' })
  for (const { pass } of delta.unmatched) metrics.reconciledMatches.inc({ pair, pass, change: 'ended' })
}

/** What showed last of a pair of sources and is no more would stay as it was: it is set to 0. */
const setAll = <Label extends string>(
  gauge: Gauge<Label>,
  shown: Map<string, Record<Label, string>>,
  now: readonly (readonly [labels: Record<Label, string>, value: number])[],
): void => {
  for (const labels of shown.values()) gauge.set(labels, 0)
  for (const [labels, value] of now) {
    shown.set(JSON.stringify(labels), labels)
    gauge.set(labels, value)
  }
}

interface Shown {
  readonly breaks: Map<string, Record<'pair' | 'kind' | 'severity', string>>
  readonly values: Map<string, Record<'pair' | 'currency', string>>
}

/** Shows how pairs of sources stand. */
export const makeReconciliationGauges = (metrics: EngineMetrics) => {
  const shown = new Map<string, Shown>()
  return (
    pair: string,
    figures: {
      readonly open: number
      readonly openMinor: ReadonlyMap<string, bigint>
      readonly oldestDays: number
      readonly breaks: readonly { readonly kind: string; readonly severity: string; readonly count: number }[]
      readonly matchedByPass: ReadonlyMap<string, number>
    },
  ): void => {
    metrics.reconciliationOpen.set({ pair }, figures.open)
    metrics.reconciliationOldest.set({ pair }, figures.oldestDays)
    for (const [pass, items] of figures.matchedByPass) metrics.reconciliationItems.set({ pair, pass }, items)
    const { breaks, values } = shown.get(pair) ?? { breaks: new Map(), values: new Map() }
    shown.set(pair, { breaks, values })
    setAll(
      metrics.reconciliationBreaks,
      breaks,
      figures.breaks.map(({ count, ...labels }) => [{ pair, ...labels }, count] as const),
    )
    setAll(
      metrics.reconciliationOpenValue,
      values,
      [...figures.openMinor].map(([currency, minor]) => [{ pair, currency }, Number(minor)] as const),
    )
  }
}
