/** `audit verify`, put together: what the command line starts. */
import type { Configuration } from '#platform/config/configuration.ts'
import { IncidentError, OperatingError } from '#platform/errors.ts'
import { checkAuditLog } from '#platform/postgres/audit-log-check.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { type HeadRow, readHeadRow } from '#platform/postgres/queries/audit-sums.ts'
import { auditLogOf } from '#platform/postgres/queries/read-audit-log.ts'
import { openSnapshot } from '#platform/postgres/snapshot.ts'
import { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { encodersBy } from './audit/replay/frame-codecs.ts'
import { InputThread } from './audit/replay/input-thread.ts'
import { LedgerMemory } from './audit/replay/ledger-memory.ts'
import { planReplay, startPositions } from './audit/replay/plan.ts'
import { type DecidedBatch, type ReplayProgress, replay } from './audit/replay/replay.ts'
import type { DifferingBatch } from './audit/replay/replayer.ts'
import { type BatchesChecked, checkBatches } from './audit/verify/check-batches.ts'
import { checkClosings } from './audit/verify/check-closings.ts'
import { ClosedMonths } from './audit/verify/closed-months.ts'
import { type Finding, Findings } from './audit/verify/findings.ts'
import { checkArchived, checkClusters, checkPublished } from './audit/verify/standing.ts'
import { checkSums, genesisOfHead, TableCheck } from './audit/verify/verify.ts'
import { checkHeads } from './audit/verify/witnesses.ts'
import { checkReconciliation } from './auditing-reconciliation.ts'
import { type AuditBatches, openBatches } from './audit-batches.ts'
import {
  type ArchiveWitness,
  type HeadWitness,
  openArchiveWitness,
  openPublishedHeads,
} from './audit-witnesses.ts'

/** What was done so far. */
export interface VerifyProgress extends ReplayProgress {
  /** Rows that were compared. */
  readonly rows: number
  /** Records that will be decided again. */
  readonly of: number
}

export interface AuditVerifyOptions {
  readonly configuration: Configuration
  readonly onMessage: (message: string) => void
  readonly onProgress: (progress: VerifyProgress) => void
  readonly signal: AbortSignal
}

export interface AuditVerifyResult {
  readonly ok: boolean
  readonly findings: readonly Finding[]
  /** Also of those that aren't listed any more. */
  readonly count: number
  /** The last batch that was looked at. */
  readonly through: bigint
  /** Up to which the tables were compared with what was decided; all of them where it is `through`. */
  readonly compared: bigint
  readonly transactions: number
  /** Rows that were compared. */
  readonly rows: number
}

const STATEMENT_TIMEOUT_MS = 300_000

/**
 * Verifies all of a ledger as of one moment. An engine may be at work: it isn't seen.
 * @throws IncidentError `head_missing`, `logic_version_unknown`; OperatingError `records_gone`, `batches_gone` where nothing was
 * found and the tables can't be compared, and of the archive; UnreachableError
 */
export const auditVerify = async (options: AuditVerifyOptions): Promise<AuditVerifyResult> => {
  const { configuration } = options
  const published = await openPublishedHeads(configuration)
  try {
    const archive = await openArchiveWitness(configuration)
    try {
      const snapshot = await openSnapshot({
        ...configuration.postgres,
        applicationName: 'tallystream audit',
        statementTimeoutMs: STATEMENT_TIMEOUT_MS,
      })
      try {
        return await verifySnapshot(options, { snapshot, published, archive })
      } finally {
        await snapshot.close()
      }
    } finally {
      await archive?.close()
    }
  } finally {
    await published.close()
  }
}

interface Sources {
  readonly snapshot: ReadPool
  readonly published: HeadWitness
  readonly archive: ArchiveWitness | null
}

const verifySnapshot = async (
  options: AuditVerifyOptions,
  { snapshot, published, archive }: Sources,
): Promise<AuditVerifyResult> => {
  const { configuration, onMessage } = options
  const findings = new Findings()
  const head = await readHeadRow(snapshot)
  if (head === undefined) throw new IncidentError('head_missing', 'the ledger has no head row')
  const stored = await openBatches(configuration, snapshot)
  try {
    const start = stored.dropped ?? { sequence: 0n, hash: genesisOfHead(head) }
    onMessage(`batches ${start.sequence + 1n} to ${head.sequence}: the chain`)
    const checked = await checkBatches(snapshot, head, start, findings)
    const highest = await checkHeads(snapshot, published.heads(), head.sequence, findings)
    if (archive !== null) await checkHeads(snapshot, archive.heads(), head.sequence, findings)
    await checkPublished(snapshot, head, highest, findings)
    await checkArchived(snapshot, head, archive, findings)
    const log = await checkAuditLog(auditLogOf(snapshot), archive?.auditLog ?? null)
    for (const { table, key, kind } of log.findings) findings.add(table, key, kind)
    findings.rows += Number(log.entries)
    onMessage('sums and folds')
    await checkSums(snapshot, findings)
    const { compared, transactions } = await compareTables(
      options,
      { snapshot, head, checked, ...stored },
      findings,
    )
    const isWhole = compared === head.sequence
    if (!isWhole) {
      onMessage(
        `what was decided after batch ${compared} can't be derived: it is not compared with the tables`,
      )
    }
    await checkClosings(snapshot, findings, isWhole)
    const droppedThrough = stored.dropped?.sequence ?? 0n
    await checkReconciliation({
      ...{ configuration, snapshot, droppedThrough, findings, onMessage },
      headSequence: head.sequence,
    })
    const { listed, count, rows } = findings
    return { ok: count === 0, findings: listed, count, through: head.sequence, compared, transactions, rows }
  } finally {
    await stored.close()
  }
}

interface Compared {
  readonly compared: bigint
  readonly transactions: number
}

/** Where deciding again has to end: what the batch was decided on isn't known any more. */
class Underivable extends Error {}

/** Decides history again, as far as that can be done, and compares the tables with it. */
const compareTables = async (
  options: AuditVerifyOptions,
  stored: Pick<AuditBatches, 'batches' | 'dropped'> & {
    readonly snapshot: ReadPool
    readonly head: HeadRow
    readonly checked: BatchesChecked
  },
  findings: Findings,
): Promise<Compared> => {
  const { configuration, onMessage, onProgress, signal } = options
  const { snapshot, head, checked, batches, dropped } = stored
  const genesis = genesisOfHead(head)
  if (genesis === null) throw new IncidentError('head_missing', 'the ledger does not know its beginning')
  const memory = new LedgerMemory(Number(head.genesis_tick_ms))
  const months = await ClosedMonths.open(snapshot, memory, findings, head.ledger)
  const tables = new TableCheck(snapshot, memory, findings, dropped?.until ?? null)
  /** The latest one first. */
  let clusters = new Set<string>()
  let transactions = 0
  try {
    onMessage('tables')
    const plan = await planReplay(batches, 0n, checked.derivable)
    startPositions(plan, (cluster) => memory.positionsOf(cluster))
    const { kafka, ledger, schemaRegistry, archive } = configuration
    const data = { configuration: { kafka, ledger, schemaRegistry, archive }, ranges: plan.ranges }
    const inputs = new InputThread(new URL('./audit-thread.ts', import.meta.url), data)
    await replay({
      batches,
      plan,
      inputs,
      memory,
      chain: genesis,
      encodersOf: encodersBy(new SchemaRegistry(schemaRegistry)),
      onDifference: async (batch) => differs(batch, checked, findings),
      onDecided: async (batch) => {
        const { cluster } = batch.stored.header
        if (!isFirst(clusters, cluster)) clusters = new Set([cluster, ...clusters])
        transactions += batch.effects.decisions.length
        await tables.decided(batch, lastOffsets(batch))
        await months.add(batch.stored, batch.effects)
      },
      onProgress: (progress) => onProgress({ ...progress, rows: findings.rows, of: plan.inputs }),
      signal,
    }).finally(() => inputs.close())
    if (checked.derivable === head.sequence) {
      await tables.end(head)
      await months.end(Number(head.tick_ms))
      await checkClusters(snapshot, [...clusters].reverse(), findings)
      return { compared: head.sequence, transactions }
    }
  } catch (error) {
    if (!endsComparing(error, findings)) throw error
    onMessage((error as Error).message)
  }
  await tables.endEarly()
  return { compared: memory.sequence, transactions }
}

/** What is found already says why the history can't be decided again; without a finding it is an error. */
const endsComparing = (error: unknown, findings: Findings): boolean =>
  error instanceof Underivable ||
  (findings.count > 0 &&
    (error instanceof IncidentError || (error instanceof OperatingError && !error.retriable)))

/** A batch that isn't what deciding again gives. @throws Underivable where what it was decided on may have been changed */
const differs = (
  { stored, hashes, chain, problems }: DifferingBatch,
  { unsound }: BatchesChecked,
  findings: Findings,
): void => {
  const key = String(stored.sequence)
  const isOneOf = (some: readonly Buffer[]) => some.some((each) => hashes.some((own) => own.equals(each)))
  const known = unsound.get(stored.sequence)
  if (known !== undefined) {
    if (isOneOf(known)) return
    throw new Underivable(`batch ${key} is neither what was hashed nor what deciding again gives`)
  }
  if (chain !== null) findings.add('batches', key, 'chain')
  if (!isOneOf([stored.hash]) || problems.length > 0) findings.add('batches', key, 'changed')
}

const isFirst = (values: ReadonlySet<string>, value: string): boolean =>
  values.values().next().value === value

/** By 'topic:partition': the last record of the batch. */
const lastOffsets = ({ inputs, effects }: DecidedBatch): Map<string, bigint> => {
  const last = new Map<string, bigint>()
  for (const { type, topic, partition, offset } of inputs.slice(0, effects.consumed)) {
    if (type !== 'advance') last.set(`${topic}:${partition}`, offset)
  }
  return last
}
