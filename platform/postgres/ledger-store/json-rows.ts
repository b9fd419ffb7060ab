/** Commands and rules as JSON columns: amounts as strings, since JSON numbers can't hold them exactly. */
import type { Rule } from '#domain/fraud/rules.ts'
import type { HeldPosting, HoldState } from '#domain/ledger/state.ts'
import type { TransactionCommand } from '#domain/transactions/command.ts'

export interface HoldRow {
  key: string
  kind: HoldState['kind']
  status: HoldState['status']
  id: string
  source: string
  sequence: string
  index: number
  expires_at_ms: string
  postings: unknown
  command: unknown
  version: string
  version_index: number
  priority: number
  reviewers: number
  released_by: string | null
}

const BIGINT_FIELDS = new Set(['amount', 'remaining', 'threshold', 'offset', 'version', 'approves'])

/** JSON text with bigints as strings. */
export const toJson = (value: unknown): string =>
  JSON.stringify(value, (_name, inner: unknown) => (typeof inner === 'bigint' ? inner.toString() : inner))

/** Gives the named fields their bigints back, at any depth, except inside metadata, whose keys are the client's. */
const withBigints = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(withBigints)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => {
      if (name === 'metadata') return [name, inner]
      return [name, BIGINT_FIELDS.has(name) && typeof inner === 'string' ? BigInt(inner) : withBigints(inner)]
    }),
  )
}

export const holdOfRow = (row: HoldRow): HoldState => ({
  key: row.key.replaceAll('-', ''),
  kind: row.kind,
  status: row.status,
  id: row.id,
  source: row.source,
  sequence: BigInt(row.sequence),
  index: row.index,
  expiresAt: Number(row.expires_at_ms),
  postings: withBigints(row.postings) as HeldPosting[],
  command: withBigints(row.command) as TransactionCommand,
  version: BigInt(row.version),
  versionIndex: row.version_index,
  priority: row.priority,
  reviewers: row.reviewers,
  releasedBy: row.released_by,
})

export const ruleOfRow = (version: bigint, body: unknown): Rule => ({
  ...(withBigints(body) as Rule),
  version,
})
