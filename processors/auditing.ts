/** `audit replay`, put together: what the command line starts. */
import type { Configuration } from '#platform/config/configuration.ts'
import { ConfigurationError, IncidentError, OperatingError } from '#platform/errors.ts'
import { makePool, type ReadPool } from '#platform/postgres/pool.ts'
import {
  type HistoryEnds,
  readHistoryEnds,
  sequenceAt,
} from '#platform/postgres/queries/read-batch-headers.ts'
import { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import type { BatchSource } from './audit/batch-source.ts'
import { accountDifferences } from './audit/replay/balances.ts'
import { type Beginning, type BeginningOptions, genesis, latestBeginning } from './audit/replay/beginning.ts'
import { writeCheckpoint } from './audit/replay/checkpoint.ts'
import { DifferenceList, differencesOf, missingTail } from './audit/replay/differences.ts'
import { encodersBy, frameReader } from './audit/replay/frame-codecs.ts'
import { InputThread } from './audit/replay/input-thread.ts'
import { planReplay, type ReplayPlan, startPositions } from './audit/replay/plan.ts'
import { type ReplayProgress, replay } from './audit/replay/replay.ts'
import { type ReplayReport, sumsOf } from './audit/replay/report.ts'
import { openBatches } from './audit-batches.ts'
import type { ReaderData } from './audit-inputs.ts'

/** A place in the history: its beginning or end, a batch, or a time. */
export type HistoryPlace = 'earliest' | 'latest' | bigint | Date

export interface AuditReplayOptions {
  readonly configuration: Configuration
  /** The first batch that is to be looked at; replay begins at the nearest checkpoint before it. */
  readonly from: HistoryPlace
  /** The last one. A time later than the last batch means the last batch. */
  readonly to: HistoryPlace
  /** Where checkpoints are read, and left where nothing differed. */
  readonly checkpoints: string
  readonly actor: string
  readonly onMessage: (message: string) => void
  readonly onProgress: (progress: ReplayProgress & { readonly differences: number }, plan: ReplayPlan) => void
  readonly signal: AbortSignal
}

const STATEMENT_TIMEOUT_MS = 120_000

/**
 * Replays a stretch of a ledger's history and compares it, batch by batch, with what is stored; at the end its balances with the
 * table `accounts`.
 * @throws ConfigurationError; IncidentError; OperatingError `records_gone`, `batches_gone`; UnreachableError
 */
export const auditReplay = async (options: AuditReplayOptions): Promise<ReplayReport> => {
  const { configuration } = options
  const pool = makePool({
    ...configuration.postgres,
    applicationName: 'tallystream audit',
    connectionsMax: 2,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
  })
  try {
    const ends = await historyEnds(pool)
    const { batches, dropped, close } = await openBatches(configuration, pool)
    try {
      const through = await throughOf(options.to, { pool, ends, dropped })
      const beginning = await beginningOf(options, { pool, batches, dropped, ends, through })
      return await replayStretch(options, { pool, batches, ends, through, beginning })
    } finally {
      await close()
    }
  } finally {
    await pool.close()
  }
}

interface Stretch {
  readonly pool: ReadPool
  readonly batches: BatchSource
  readonly ends: HistoryEnds
  readonly through: bigint
  readonly beginning: Beginning
}

const replayStretch = async (options: AuditReplayOptions, stretch: Stretch): Promise<ReplayReport> => {
  const { pool, batches, ends, beginning } = stretch
  const { memory } = beginning
  const startedAt = new Date()
  const after = memory.sequence
  const plan = await planReplay(batches, after, stretch.through)
  if (beginning.isGenesis) startPositions(plan, (cluster) => memory.positionsOf(cluster))
  options.onMessage(`batches ${after + 1n} to ${stretch.through}: ${plan.inputs} records`)
  const inputs = new InputThread(new URL('./audit-thread.ts', import.meta.url), readerData(options, plan))
  const registry = new SchemaRegistry(options.configuration.schemaRegistry)
  const differences = new DifferenceList()
  const readFrame = frameReader(registry)
  const started = performance.now()
  const result = await replay({
    batches,
    plan,
    inputs,
    memory,
    chain: beginning.chain,
    encodersOf: encodersBy(registry),
    onDifference: async (batch) => {
      const payload = await batches.payload(batch.stored.sequence).catch(unreadable)
      differences.add(await differencesOf(batch, payload, readFrame))
    },
    onProgress: (progress) => options.onProgress({ ...progress, differences: differences.count }, plan),
    signal: options.signal,
  }).finally(() => inputs.close())
  const seconds = (performance.now() - started) / 1_000
  const { counts } = result
  differences.add(missingTail(memory.sequence, stretch.through))
  for await (const difference of accountDifferences(pool, memory)) differences.add([difference])
  if (differences.count === 0 && plan.batches > 0) {
    options.onMessage(
      `checkpoint: ${await writeCheckpoint(options.checkpoints, ends.ledger, memory, result.chain)}`,
    )
  }
  return {
    report: 'replay',
    version: 1,
    ledger: ends.ledger,
    from: String(after + 1n),
    to: String(memory.sequence),
    began: beginning.isGenesis ? 'genesis' : String(after),
    chain: result.chain.toString('hex'),
    batches: counts.batches,
    records: counts.records,
    transactions: counts.transactions,
    outcomes: counts.outcomes,
    sums: sumsOf(memory),
    digest: result.digest,
    differences: differences.count,
    listed: differences.listed,
    seconds: Math.round(seconds * 10) / 10,
    ratePerSecond: Math.round(counts.transactions / Math.max(seconds, 0.001)),
    startedAt: startedAt.toISOString(),
    finishedAt: new Date().toISOString(),
    actor: options.actor,
  }
}

const readerData = ({ configuration }: AuditReplayOptions, plan: ReplayPlan): ReaderData => {
  const { kafka, ledger, schemaRegistry, archive } = configuration
  return { configuration: { kafka, ledger, schemaRegistry, archive }, ranges: plan.ranges }
}

/** A payload that can't be unpacked is a finding, anything else isn't. */
const unreadable = (error: unknown): null => {
  if (error instanceof OperatingError && error.retriable) throw error
  return null
}

const historyEnds = async (pool: ReadPool): Promise<HistoryEnds> => {
  const ends = await readHistoryEnds(pool)
  if (ends === undefined) throw new IncidentError('head_missing', 'the ledger has no head row')
  return ends
}

const beginningOf = async (
  { from, checkpoints, onMessage }: AuditReplayOptions,
  {
    through,
    ...stored
  }: Pick<BeginningOptions, 'pool' | 'batches' | 'dropped' | 'ends'> & {
    readonly through: bigint
  },
): Promise<Beginning> => {
  if (from === 'earliest') return genesis(stored.ends)
  const before = await sequenceBefore(stored.pool, stored.ends, from)
  if (before > through || (typeof from === 'bigint' && from > through)) {
    throw new ConfigurationError(
      `expected --from before --to, got a stretch that begins with batch ${before + 1n} and ends with batch ${through}`,
    )
  }
  return latestBeginning({ ...stored, folder: checkpoints, onRefused: onMessage }, before)
}

/** The last batch before a place. */
const sequenceBefore = async (
  pool: ReadPool,
  ends: HistoryEnds,
  place: Exclude<HistoryPlace, 'earliest'>,
): Promise<bigint> => {
  if (place === 'latest') return ends.sequence
  if (typeof place === 'bigint') {
    if (place <= ends.sequence) return place - 1n
    throw beyondEnd(place, ends)
  }
  return await sequenceAt(pool, new Date(place.getTime() - 1))
}

/** The last batch up to a place. @throws ConfigurationError where the history doesn't reach to it */
const throughOf = async (
  place: HistoryPlace,
  { pool, ends, dropped }: Pick<BeginningOptions, 'pool' | 'ends' | 'dropped'>,
): Promise<bigint> => {
  if (place === 'latest') return ends.sequence
  if (place === 'earliest') return 0n
  if (typeof place === 'bigint') {
    if (place <= ends.sequence) return place
    throw beyondEnd(place, ends)
  }
  // Which batch was the last one then only their rows could say: to stop at none would prove nothing and look like a proof.
  if (dropped !== undefined && place < dropped.until) {
    throw new ConfigurationError(
      `expected --to not before ${dropped.until.toISOString()}, up to when batches were dropped, or as batch:N, got ${place.toISOString()}`,
    )
  }
  const sequence = await sequenceAt(pool, place)
  if (sequence > ends.sequence) return ends.sequence
  return sequence
}

const beyondEnd = (place: bigint, ends: HistoryEnds): ConfigurationError =>
  new ConfigurationError(`expected a batch up to ${ends.sequence}, where the history ends, got ${place}`)
