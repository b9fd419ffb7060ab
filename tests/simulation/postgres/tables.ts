/**
 * The tables of a simulated ledger and what transactions do to them. A row is never changed, only replaced, so a write is
 * (table, key, row), and the way back to any earlier moment is known.
 */

export interface HeadRow {
  readonly sequence: bigint
  readonly hash: Buffer
  readonly tickMs: bigint
  /** JSON text. */
  readonly pendingTicks: string
  readonly expiring: boolean
  readonly logicVersion: number
  readonly rulesVersion: bigint
  readonly accountsCount: bigint
  readonly cardsCount: bigint
  readonly timeline: bigint
}

export interface OffsetRow {
  readonly cluster: string
  readonly topic: string
  readonly partition: number
  readonly nextOffset: bigint
  readonly epoch: bigint
  readonly owner: string
  readonly ownerPid: number | null
  readonly lastOffset: bigint | null
  readonly lastHash: Buffer | null
  readonly lastTimestampMs: bigint | null
  readonly topicId: string | null
  readonly jumpedFrom: bigint | null
  readonly jumpedTo: bigint | null
}

export interface AccountRow {
  readonly no: bigint
  readonly id: string
  readonly currency: number
  readonly accountClass: string
  readonly normalSide: string
  readonly status: string
  readonly limited: boolean
  readonly overdraftLimit: bigint
  readonly reversalMayOverdraw: boolean
  readonly posted: bigint
  readonly reserved: bigint
  readonly version: bigint
  readonly openedSequence: bigint
  readonly profile: Buffer | null
}

export interface PartyRow {
  readonly kind: number
  readonly name: string
  readonly usedDay: number
  readonly version: bigint
  readonly state: Buffer
}

export interface IdRow {
  readonly content: string
  readonly sequence: bigint
  readonly index: number
  readonly recordedAtMs: bigint
}

export interface TransactionRow {
  readonly sequence: bigint
  readonly index: number
  readonly key: string
  readonly id: string
  readonly source: string
  readonly kind: number
  readonly cause: number
  readonly status: number
  readonly reason: number | null
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  readonly recordedAtMs: bigint
  readonly occurredAtMs: bigint
  /** null where no rule looked at labels. */
  readonly payerNo: bigint | null
  readonly acceptor: string | null
  readonly wasUnusual: boolean | null
}

export interface PostingRow {
  readonly sequence: bigint
  readonly index: number
  readonly posting: number
  readonly debitNo: bigint
  readonly creditNo: bigint
  readonly amount: bigint
  readonly currency: number
  readonly debitPosted: bigint
  readonly creditPosted: bigint
}

export interface HoldRow {
  readonly key: string
  readonly kind: string
  readonly status: string
  readonly id: string
  readonly source: string
  readonly sequence: bigint
  readonly index: number
  readonly expiresAtMs: bigint
  readonly postings: string
  readonly command: string
  readonly version: bigint
  readonly versionIndex: number
  readonly priority: number
  readonly reviewers: number
  readonly releasedBy: string | null
}

export interface BatchRow {
  readonly sequence: bigint
  readonly recordedAtMs: number
  readonly previousHash: Buffer
  readonly hash: Buffer
  readonly format: number
  readonly records: number
  readonly header: Buffer
  readonly payload: Buffer
}

/** Every table, by row key. */
export interface Tables {
  readonly head: Map<string, HeadRow>
  readonly offsets: Map<string, OffsetRow>
  readonly accounts: Map<string, AccountRow>
  readonly accountIdByNo: Map<string, string>
  readonly parties: Map<string, PartyRow>
  /** By key: whether it is a fraud. */
  readonly labels: Map<string, boolean>
  readonly ids: Map<string, IdRow>
  readonly transactions: Map<string, TransactionRow>
  readonly postings: Map<string, PostingRow>
  readonly holds: Map<string, HoldRow>
  readonly activeHolds: Map<string, bigint>
  readonly reversals: Map<string, bigint>
  readonly rules: Map<string, { readonly version: bigint; readonly index: number; readonly body: string }>
  readonly batches: Map<string, BatchRow>
  readonly progress: Map<string, bigint>
  readonly leases: Map<string, { readonly holder: string; readonly expiresAtMs: number }>
}

export type TableName = keyof Tables

/** One row replaced; `undefined` takes it away. */
export interface Write {
  readonly table: TableName
  readonly key: string
  readonly row: unknown
}

export const emptyTables = (): Tables => ({
  head: new Map(),
  offsets: new Map(),
  accounts: new Map(),
  accountIdByNo: new Map(),
  parties: new Map(),
  labels: new Map(),
  ids: new Map(),
  transactions: new Map(),
  postings: new Map(),
  holds: new Map(),
  activeHolds: new Map(),
  reversals: new Map(),
  rules: new Map(),
  batches: new Map(),
  progress: new Map(),
  leases: new Map(),
})

export const put = <T extends TableName>(
  table: T,
  key: string,
  row: Tables[T] extends Map<string, infer Row> ? Row | undefined : never,
): Write => ({ table, key, row })

/** Does the writes. @returns the writes that undo them */
export const applyWrites = (tables: Tables, writes: readonly Write[]): Write[] => {
  const undo: Write[] = []
  for (const { table, key, row } of writes) {
    const rows = tables[table] as Map<string, unknown>
    undo.push({ table, key, row: rows.get(key) })
    if (row === undefined) rows.delete(key)
    else rows.set(key, row)
  }
  return undo.reverse()
}

/** Key of an offset row. */
export const offsetKey = (cluster: string, topic: string, partition: number | bigint): string =>
  `${cluster}/${topic}:${partition}`

/** A batch's rows by number: padded, so that texts sort as numbers do. */
export const sequenceKey = (sequence: bigint): string => String(sequence)

export const partyRowKey = (kind: number, name: string): string => `${kind}/${name}`
