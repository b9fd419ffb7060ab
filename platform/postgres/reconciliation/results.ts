/**
 * What reconciliation publishes, read from the rows that its commits left. They are never changed, so the same sequence is always the
 * same records, whoever reads it and whenever.
 */
import type pg from 'pg'
import { asOperatingError } from '#platform/postgres/postgres-errors.ts'

/** Records of one sequence at most: a commit with more has several. Changing it needs an empty `recon_results`. */
export const RESULTS_PART = 5_000

/** schemas/avro/reconciliation-result.avsc */
export interface ResultValue {
  readonly timeline: bigint
  readonly sequence: bigint
  readonly index: number
  readonly pair: string
  readonly type: string
  readonly id: string
  readonly recordedAt: bigint
  readonly account: string | null
  readonly currency: string | null
  readonly amount: bigint | null
  readonly side: string | null
  readonly pass: string | null
  readonly score: number | null
  readonly difference: bigint | null
  readonly because: string | null
  readonly ledger: readonly string[]
  readonly bank: readonly string[]
  readonly event: string | null
  readonly kind: string | null
  readonly severity: string | null
  readonly actor: string | null
  readonly detail: string | null
}

// Of a match: what its bank side says. Of a break: its row, whose item never changes.
const READ = `with stretch as (select * from recon_results where sequence > $1 order by sequence limit $2)
select s.sequence, (row_number() over (partition by s.sequence order by r.place, r.at) - 1)::integer as index, s.pair, r.type, r.id,
  s.recorded_ms as "recordedAt", coalesce(b.account, r.account) as account, coalesce(b.currency, r.currency) as currency,
  coalesce(b.amount, r.amount) as amount, b.side, r.pass, r.score, r.difference, r.because,
  array_to_string(r.ledger_ids, chr(1)) as ledger, array_to_string(r.bank_ids, chr(1)) as bank, r.event->>'type' as event, r.event->>'kind' as kind,
  r.event->>'severity' as severity, coalesce(r.event->>'actor', r.event->>'checker', r.event->'ending'->>'checker') as actor,
  r.event::text as detail
from stretch s cross join lateral (
  select 0 as place, row_number() over (order by m.id) as at, 'unmatched' as type, m.id, m.pass, m.score, m.difference, m.because,
    m.ledger_ids, m.bank_ids, m.account, m.currency, m.amount, null::jsonb as event
  from recon_matches m where m.pair = s.pair and m.ended_version = s.version
  union all
  select 1, row_number() over (order by m.id), 'matched', m.id, m.pass, m.score, m.difference, m.because, m.ledger_ids, m.bank_ids,
    m.account, m.currency, m.amount, null
  from recon_matches m where m.pair = s.pair and m.version = s.version
  union all
  select 2, e.index, 'break', e.break_id, null, null, null, null, null, null, null, null, null, e.event
  from recon_break_events e where e.pair = s.pair and e.version = s.version
  order by place, at offset s.first limit ${RESULTS_PART}) r
left join recon_breaks b on r.place = 2 and b.pair = s.pair and b.break_id = r.id
order by s.sequence, index`

/** Ids as one text: an array of few elements takes much longer to read. None holds such a character. */
const SEPARATOR = '\u0001'

type Row = Omit<ResultValue, 'timeline' | 'ledger' | 'bank'> & {
  readonly ledger: string | null
  readonly bank: string | null
}

const idsOf = (text: string | null): string[] => (text === null ? [] : text.split(SEPARATOR))

export class ResultsStore {
  readonly #pool: Pick<pg.Pool, 'query'>

  constructor(pool: Pick<pg.Pool, 'query'>) {
    this.#pool = pool
  }

  /** The last sequence, and what has left at least. @throws UnreachableError, OperatingError, as all methods */
  async head(): Promise<{ readonly sequence: bigint; readonly published: bigint }> {
    const rows = await this.#query<{ sequence: bigint; published: bigint }>(
      'select sequence, published from recon_results_head',
    )
    return rows[0]!
  }

  /** The records behind a sequence, in order, of so many sequences. */
  async readAfter(sequence: bigint, sequencesMax: number): Promise<Omit<ResultValue, 'timeline'>[]> {
    const rows = await this.#query<Row>(READ, [sequence, sequencesMax])
    return rows.map((row) => ({ ...row, ledger: idsOf(row.ledger), bank: idsOf(row.bank) }))
  }

  async notePublished(sequence: bigint): Promise<void> {
    await this.#query('update recon_results_head set published = $1 where published < $1', [sequence])
  }

  async #query<Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> {
    try {
      return (await this.#pool.query<Row>(text, values)).rows
    } catch (error) {
      throw asOperatingError(error)
    }
  }
}
