/**
 * Brings a ledger back: the recorded batches are decided again, in the recorded order and cuts, and committed through the engine's
 * own path, each only if its hash is the recorded one. What was neither archived nor published is left to the processors.
 */
import type { BatchHeader } from '#domain/ledger/batch-record.ts'
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import { IncidentError, OperatingError } from '#platform/errors.ts'
import type { LastRecordOf } from '#platform/postgres/recovery.ts'
import type { PartitionInputs } from '../runtime/batch-header.ts'
import type { RecordedBatch, RecordedHistory, RecordedRange } from './recorded.ts'

/** The inputs of a recorded batch (processors/audit/replay/assembler.ts). */
export interface RecordedInputs {
  inputsOf(batch: Pick<BatchHeader, 'cluster' | 'sources' | 'order' | 'skips' | 'jumps'>): Promise<{
    readonly inputs: readonly LedgerInput[]
    readonly problems: readonly { topic: string; partition: number; offset: string; detail: string }[]
  }>
}

/** Applies one recorded batch: commits it only where it is what was recorded. */
export interface RecordedApplier {
  apply(batch: RecordedBatch, selection: readonly PartitionInputs[]): Promise<{ readonly decisions: number }>
}

export interface RecoveryOptions {
  readonly history: RecordedHistory
  /** The batch that the database ends with. */
  readonly sequence: bigint
  readonly inputs: (ranges: readonly RecordedRange[]) => RecordedInputs
  readonly applier: RecordedApplier
  readonly setEpochs: (cluster: string, sources: BatchHeader['sources']) => Promise<void>
  /** Sets positions as they were set before a batch, otherwise than by reading on. */
  readonly setJumps: (cluster: string, jumps: NonNullable<BatchHeader['jumps']>) => Promise<void>
  /** Called before a batch whose decision time is in another month than the one before. */
  readonly onMonth: () => Promise<void>
  readonly onBatch: (batch: RecordedBatch) => Promise<void>
  readonly signal: AbortSignal
}

export interface RecoveredHistory {
  readonly batches: number
  readonly transactions: number
  readonly fromArchive: number
  readonly fromTopics: number
  readonly last: bigint
  /** The last record of each partition: where it is, and the batch that read it. */
  readonly lastRecords: readonly (Omit<LastRecordOf, 'hash' | 'timestampMs'> & { readonly batch: bigint })[]
}

/**
 * Decides the recorded batches again.
 * @param ranges what they read, by partition
 * @throws IncidentError `recover_difference`, `recover_other_past`, `recover_gap`; OperatingError `records_gone`, `stopped`
 */
export const recoverBatches = async (
  options: RecoveryOptions,
  ranges: readonly RecordedRange[],
): Promise<RecoveredHistory> => {
  const inputs = options.inputs(ranges)
  const counts = { batches: 0, transactions: 0, fromArchive: 0, fromTopics: 0 }
  const epochs = new Map<string, string>()
  const lastRecords = new Map<string, RecoveredHistory['lastRecords'][number]>()
  let last = options.sequence
  let month = ''
  for await (const { batch, assembled } of assembledAhead(options.history.after(options.sequence), inputs)) {
    if (options.signal.aborted)
      throw new OperatingError('stopped', 'the recovery was stopped; run it again to go on')
    if (batch.sequence !== last + 1n) {
      throw new IncidentError('recover_gap', `expected batch ${last + 1n}, found ${batch.sequence}`)
    }
    const { inputs: given, problems } = await assembled
    if (problems.length > 0) throw differentRecords(batch, problems)
    const thisMonth = new Date(batch.header.tick).toISOString().slice(0, 7)
    if (month !== '' && month !== thisMonth) await options.onMonth()
    month = thisMonth
    await takeEpochs(options, batch.header, epochs)
    const { decisions } = await options.applier.apply(batch, selectionOf(batch.header, given))
    noteLast(batch, given, lastRecords)
    counts.batches += 1
    counts.transactions += decisions
    if (batch.origin === 'archive') counts.fromArchive += 1
    else counts.fromTopics += 1
    last = batch.sequence
    await options.onBatch(batch)
  }
  return { ...counts, last, lastRecords: [...lastRecords.values()] }
}

type Assembled = Awaited<ReturnType<RecordedInputs['inputsOf']>>

/** Reads the next batch's records while the one before is decided. */
async function* assembledAhead(
  batches: AsyncIterable<RecordedBatch>,
  inputs: RecordedInputs,
): AsyncGenerator<{ batch: RecordedBatch; assembled: Promise<Assembled> }> {
  let waiting: { batch: RecordedBatch; assembled: Promise<Assembled> } | undefined
  for await (const batch of batches) {
    const assembled = inputs.inputsOf(batch.header)
    // Its failure is thrown where it is awaited.
    assembled.catch(() => undefined)
    if (waiting !== undefined) yield waiting
    waiting = { batch, assembled }
  }
  if (waiting !== undefined) yield waiting
}

const differentRecords = (
  batch: RecordedBatch,
  problems: readonly { topic: string; partition: number; offset: string; detail: string }[],
): IncidentError => {
  const { topic, partition, offset, detail } = problems[0]!
  return new IncidentError(
    'recover_difference',
    `batch ${batch.sequence}: ${topic}:${partition} at ${offset}: ${detail}${problems.length > 1 ? `, and ${problems.length - 1} more` : ''}`,
  )
}

const takeEpochs = async (
  options: RecoveryOptions,
  { cluster, sources, jumps = [] }: BatchHeader,
  known: Map<string, string>,
): Promise<void> => {
  const nameOf = (source: { topic: string; partition: number }): string =>
    `${cluster}/${source.topic}:${source.partition}`
  if (jumps.length > 0) await options.setJumps(cluster, jumps)
  const changed = sources.filter((source) => known.get(nameOf(source)) !== source.epoch)
  if (changed.length === 0) return
  await options.setEpochs(cluster, changed)
  for (const source of changed) known.set(nameOf(source), source.epoch)
}

/** The selection that was decided: the recorded runs, each with its inputs. */
export const selectionOf = (
  { sources, order }: Pick<BatchHeader, 'sources' | 'order'>,
  inputs: readonly LedgerInput[],
): PartitionInputs[] => {
  const claims = sources.map(({ topic, partition, from, epoch }) => ({
    topic,
    partition,
    nextOffset: BigInt(from),
    epoch: BigInt(epoch),
    last: null,
    topicId: null,
  }))
  const reached = sources.map(({ from }) => BigInt(from))
  let at = 0
  return order.map(([place, count]) => {
    const run = inputs.slice(at, at + count)
    at += count
    const from = reached[place]!
    reached[place] = run.at(-1)!.offset + 1n
    return { claim: claims[place]!, from, inputs: run, lastRecord: () => null }
  })
}

const noteLast = (
  { sequence: batch, header: { cluster } }: RecordedBatch,
  inputs: readonly LedgerInput[],
  last: Map<string, RecoveredHistory['lastRecords'][number]>,
): void => {
  for (const { type, topic, partition, offset } of inputs) {
    if (type !== 'advance')
      last.set(`${cluster}/${topic}:${partition}`, { cluster, topic, partition, offset, batch })
  }
}
