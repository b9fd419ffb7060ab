/** Lists rulebooks: every proposal and every approval that the ledger took, newest first. */
import type { ReadPool } from '#platform/postgres/pool.ts'
import { type Cursor, CURSOR_END, type Page, pageOf } from '#platform/postgres/queries/cursor.ts'

export interface StoredRulebook {
  /** Sequence of the batch that brought it, and its place among the rules of that batch. */
  readonly version: bigint
  readonly index: number
  readonly kind: 'proposal' | 'approval'
  /** proposal: open, approved, or superseded by a newer one. approval: in force, or superseded. */
  readonly state: 'open' | 'approved' | 'in_force' | 'superseded'
  readonly author: string
  /** null: a proposal. */
  readonly approvedBy: string | null
  /** approval: the version of the proposal that it brought into force. */
  readonly approves: bigint | null
  /** The rulebook as JSON text. */
  readonly definition: string
}

/** Numbers of its cursor: version and index. */
export const RULEBOOK_CURSOR_LENGTH = 2

interface Row {
  version: bigint
  index: number
  rule_id: 'rulebook_proposal' | 'rulebook'
  body: { actor: string; author?: string; approves?: string; definition: string }
  is_newest: boolean
  is_approved: boolean
}

const TEXT = `with books as (
    select version, index, rule_id, body,
      row_number() over (partition by rule_id order by version desc, index desc) = 1 as is_newest
    from rules where rule_id in ('rulebook_proposal', 'rulebook'))
  select b.*, exists (select from books a where a.rule_id = 'rulebook' and (a.body ->> 'approves')::bigint = b.version) as is_approved
  from books b where (b.version, b.index) < ($1, $2::bigint) and ($3::bigint is null or b.version = $3)
  order by b.version desc, b.index desc limit $4`

/** A page of them behind `before`. @param options.version only those of a batch */
export async function listRulebooks(
  pool: ReadPool,
  options: { before: Cursor | null; limit: number; version?: bigint },
): Promise<Page<StoredRulebook>> {
  const [version, index] = options.before ?? [CURSOR_END, 0n]
  const values = [version!, index!, options.version ?? null, options.limit + 1]
  const rows = await pool.query<Row>({ name: 'list-rulebooks', text: TEXT }, values)
  return pageOf(rows, options.limit, bookOf, (row) => [row.version, BigInt(row.index)])
}

const bookOf = ({ version, index, rule_id, body, is_newest, is_approved }: Row): StoredRulebook => {
  const isApproval = rule_id === 'rulebook'
  return {
    version,
    index,
    kind: isApproval ? 'approval' : 'proposal',
    state: isApproval ? (is_newest ? 'in_force' : 'superseded') : proposalState(is_newest, is_approved),
    author: body.author ?? body.actor,
    approvedBy: isApproval ? body.actor : null,
    approves: isApproval && body.approves !== undefined ? BigInt(body.approves) : null,
    definition: body.definition,
  }
}

const proposalState = (isNewest: boolean, isApproved: boolean): StoredRulebook['state'] => {
  if (isApproved) return 'approved'
  return isNewest ? 'open' : 'superseded'
}
