/** Tables that hold one state for the whole ledger, held against what a replay ends with. */
import type { BatchHeader } from '#domain/ledger/batch-record.ts'
import { type BatchEffects, LOGIC_VERSION } from '#domain/ledger/state.ts'
import { pendingTicksJson } from '#domain/time/pending-ticks.ts'
import { CAUSES, KINDS, REASONS, STATUSES } from '#domain/transactions/outcomes.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import {
  type AuditRow,
  auditText,
  CHANGING,
  readChanging,
  sortedJson,
} from '#platform/postgres/queries/audit-rows.ts'
import type { HeadRow } from '#platform/postgres/queries/audit-sums.ts'
import { INGEST_TOPICS } from '#schemas/topics.ts'
import type { LedgerMemory } from '../replay/ledger-memory.ts'
import type { Findings } from './findings.ts'

/** The head row: the ledger's state between batches. */
export const checkHead = (head: HeadRow, memory: LedgerMemory, findings: Findings): void => {
  const isAsReplayed =
    head.sequence === memory.sequence &&
    Number(head.tick_ms) === memory.time.nowMs &&
    sortedJson(head.pending_ticks) === sortedJson(pendingTicksJson(memory.time)) &&
    head.expiring === memory.expiring &&
    head.logic_version === LOGIC_VERSION &&
    head.rules_version === memory.rulesVersion &&
    Number(head.accounts_count) === memory.accounts.size &&
    Number(head.cards_count) === memory.cards.size
  if (!isAsReplayed) findings.add('ledger_head', String(head.sequence), 'changed')
}

const INGEST_NAMES: ReadonlySet<string> = new Set(INGEST_TOPICS.map(({ name }) => name))

const partitionKey = (cluster: string, topic: string, partition: number): string =>
  `${cluster}/${topic}/${partition}`

interface PartitionEnd {
  /** Of the last owner that decided; a later one may have taken it since. Null where no batch read it. */
  readonly epoch: bigint | null
  /** Of the last record; null = none is known to the row, undefined = what a search on another cluster found. */
  readonly lastOffset: bigint | null | undefined
  /** A command moved the position, and no later batch has told it. */
  readonly move: { readonly from: bigint; readonly to: bigint } | null
}

/** What the batch records say of each partition, taken in sequence. */
export class PartitionEnds {
  private readonly ends = new Map<string, PartitionEnd>()
  private lastCluster: string | null = null

  /** Notes how far a batch read. @param lastOffsets by 'topic:partition' */
  add({ cluster, sources, jumps = [] }: BatchHeader, effects: BatchEffects, lastOffsets: LastOffsets): void {
    this.lastCluster = cluster
    for (const { topic, partition, to } of jumps) {
      const end = this.of(cluster, topic, partition)
      const isOfCommand = String(end.move?.to) === to
      this.set(cluster, topic, partition, {
        ...end,
        move: null,
        lastOffset: isOfCommand ? null : undefined,
      })
    }
    for (const { topic, partition, epoch } of sources) {
      const end = this.of(cluster, topic, partition)
      const read = lastOffsets.get(`${topic}:${partition}`)
      const lastOffset = read ?? end.lastOffset
      this.set(cluster, topic, partition, { ...end, epoch: BigInt(epoch), lastOffset })
    }
    for (const { topic, partition, from, to } of effects.moves) {
      const end = this.of(cluster, topic, partition)
      this.set(cluster, topic, partition, { ...end, lastOffset: null, move: { from, to } })
    }
  }

  /** Compares the offset rows. Of a partition that no batch has read or placed only so much: that it claims no record. */
  async compare(pool: ReadPool, memory: LedgerMemory, findings: Findings): Promise<void> {
    const missing = new Set([...this.ends].flatMap(([key, { epoch }]) => (epoch === null ? [] : [key])))
    for await (const rows of readChanging(pool, CHANGING.ingest_offsets)) {
      findings.rows += rows.length
      for (const row of rows) {
        const [cluster, topic, partition, , , last] = row
        const key = `${cluster}/${topic}/${partition}`
        missing.delete(key)
        const stands = memory.positions.get(cluster!)?.get(`${topic}:${partition}`)
        if (stands !== undefined) {
          if (!this.isAsDecided(row, stands)) findings.add('ingest_offsets', key, 'changed')
        } else if (!INGEST_NAMES.has(topic!) || (last !== null && !this.isAfter(cluster!, memory))) {
          findings.add('ingest_offsets', key, 'added')
        }
      }
    }
    for (const key of missing) findings.add('ingest_offsets', key, 'removed')
  }

  private of(cluster: string, topic: string, partition: number): PartitionEnd {
    return this.ends.get(partitionKey(cluster, topic, partition)) ?? NOT_READ
  }

  private set(cluster: string, topic: string, partition: number, end: PartitionEnd): void {
    this.ends.set(partitionKey(cluster, topic, partition), end)
  }

  /** What a ledger found on a cluster that it moved to stands in its rows before any batch has read them. */
  private isAfter(cluster: string, memory: LedgerMemory): boolean {
    const [first] = memory.positions.keys()
    return cluster !== first
  }

  private isAsDecided(
    [cluster, topic, partition, next, epoch, last, from, to]: AuditRow,
    stands: bigint,
  ): boolean {
    const end = this.of(cluster!, topic!, Number(partition))
    const isNextCluster = cluster !== this.lastCluster
    if (end.epoch !== null && BigInt(epoch!) < end.epoch) return false
    if (to === null && end.move === null) {
      const isLast = end.lastOffset === undefined || isNextCluster || last === auditText(end.lastOffset)
      return next === String(stands) && isLast
    }
    if (next !== to) return false
    if (end.move !== null)
      return to === String(end.move.to) && from === String(end.move.from) && last === null
    return isNextCluster && from === String(stands)
  }
}

const NOT_READ: PartitionEnd = { epoch: null, lastOffset: undefined, move: null }

/** By 'topic:partition': the last record of a batch. */
export type LastOffsets = ReadonlyMap<string, bigint>

const WORDS = { kind: KINDS, cause: CAUSES, status: STATUSES, reason: REASONS }

/** The words for the numbers in rows: changing one changes what every row means to a reader. */
export const checkCodes = async (pool: ReadPool, findings: Findings): Promise<void> => {
  const expected = new Map<string, string>([['kind/-1', 'unknown']])
  for (const [list, words] of Object.entries(WORDS)) {
    for (const [code, word] of words.entries()) expected.set(`${list}/${code}`, word)
  }
  for await (const rows of readChanging(pool, CHANGING.codes)) {
    for (const [list, code, word] of rows as AuditRow[]) {
      const key = `${list}/${code}`
      const wanted = expected.get(key)
      expected.delete(key)
      if (wanted === undefined) findings.add('codes', key, 'added')
      else if (wanted !== word) findings.add('codes', key, 'changed')
    }
  }
  for (const key of expected.keys()) findings.add('codes', key, 'removed')
}
