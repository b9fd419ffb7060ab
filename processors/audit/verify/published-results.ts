/** Matches and steps of breaks as their rows have them now, against what left for the topic `reconciliation.results` when they were written. */
import type { ReadPool } from '#platform/postgres/pool.ts'
import { asPool } from '#platform/postgres/reconciliation/audit-rows.ts'
import { type ResultValue, ResultsStore } from '#platform/postgres/reconciliation/results.ts'
import { canonical } from './compare-rows.ts'
import type { Findings } from './findings.ts'

const SEQUENCES = 20

/** @param last sequence that the tables have */
export async function checkPublishedResults(
  snapshot: ReadPool,
  values: readonly ResultValue[],
  last: bigint,
  findings: Findings,
): Promise<void> {
  let timeline = 0n
  for (const value of values) if (value.timeline > timeline) timeline = value.timeline
  const published = new Map<bigint, Map<string, ResultValue>>()
  for (const value of values) {
    if (value.timeline !== timeline) continue
    const one = published.get(value.sequence) ?? new Map<string, ResultValue>()
    published.set(value.sequence, one.set(placeOfResult(value), value))
  }
  const [first] = published.keys()
  if (first === undefined) return
  const store = new ResultsStore(asPool(snapshot))
  for (let after = first - 1n; after < last; after += BigInt(SEQUENCES)) {
    const rows = await store.readAfter(after, SEQUENCES)
    const stored = Map.groupBy(rows, ({ sequence }) => sequence)
    for (
      let sequence = after + 1n;
      sequence <= after + BigInt(SEQUENCES) && sequence <= last;
      sequence += 1n
    ) {
      const left = published.get(sequence)
      // Not there: it hasn't left yet, or retention has taken it.
      if (left !== undefined) compareResults(left, stored.get(sequence) ?? [], findings)
    }
  }
}

/** What a record is about. */
const placeOfResult = ({ type, pair, id, detail }: Pick<ResultValue, 'type' | 'pair' | 'id' | 'detail'>) =>
  type === 'break' ? `${type} ${pair}/${id} ${detail}` : `${type} ${pair}/${id}`

function compareResults(
  left: ReadonlyMap<string, ResultValue>,
  stored: readonly Omit<ResultValue, 'timeline'>[],
  findings: Findings,
): void {
  const tableOf = (type: string) => (type === 'break' ? 'recon_break_events' : 'recon_matches')
  const seen = new Set<string>()
  findings.rows += stored.length
  for (const row of stored) {
    const place = placeOfResult(row)
    seen.add(place)
    const value = left.get(place)
    const key = `${row.pair}/${row.id}`
    if (value === undefined) findings.add(tableOf(row.type), key, row.type === 'break' ? 'changed' : 'added')
    else if (saysOf(value) !== saysOf(row)) findings.add(tableOf(row.type), key, 'changed')
  }
  const order = stored.map(placeOfResult)
  const isWhole = order.length === left.size && order.every((place) => left.has(place))
  for (const [place, { type, pair, id }] of left) {
    if (isWhole && order.shift() !== place) findings.add(tableOf(type), `${pair}/${id}`, 'changed')
    if (!seen.has(place))
      findings.add(tableOf(type), `${pair}/${id}`, type === 'break' ? 'changed' : 'removed')
  }
}

/** Without its place among others: where one is missing, the ones behind it aren't accused. */
const saysOf = ({
  pass,
  score,
  difference,
  because,
  ledger,
  bank,
  event,
  kind,
  actor,
}: Omit<ResultValue, 'timeline'>) =>
  canonical({ pass, score, difference, because, ledger, bank, event, kind, actor })
