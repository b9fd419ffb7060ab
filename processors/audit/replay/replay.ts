/** Runs a replay: plan → inputs, a few batches ahead → replayer → what it found. */
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import type { BatchEffects, LedgerState } from '#domain/ledger/state.ts'
import { OperatingError } from '#platform/errors.ts'
import type { OutputEncoders } from '../../runtime/outputs.ts'
import type { BatchSource } from '../batch-source.ts'
import type { AssembledBatch, InputSource } from './assembler.ts'
import type { StoredHeader } from './header.ts'
import type { LedgerMemory } from './ledger-memory.ts'
import type { ReplayPlan } from './plan.ts'
import { type DifferingBatch, type ReplayCounts, Replayer } from './replayer.ts'

/** A batch as it was decided again. */
export interface DecidedBatch {
  readonly stored: StoredHeader
  readonly inputs: readonly LedgerInput[]
  readonly state: LedgerState
  readonly effects: BatchEffects
}

export interface ReplayOptions {
  readonly batches: BatchSource
  readonly plan: ReplayPlan
  readonly inputs: InputSource
  /** The ledger before the first batch; afterwards as after the last. */
  readonly memory: LedgerMemory
  /** Hash of the batch before the first, or of the genesis. */
  readonly chain: Buffer
  readonly encodersOf: (schemaIds: readonly number[] | undefined) => Promise<OutputEncoders>
  readonly onDifference: (batch: DifferingBatch) => Promise<void>
  /** Called before the ledger's memory keeps the batch. */
  readonly onDecided?: (batch: DecidedBatch) => Promise<void>
  readonly onProgress: (done: ReplayProgress) => void
  readonly signal: AbortSignal
}

export interface ReplayProgress {
  readonly batch: bigint
  readonly transactions: number
  readonly inputs: number
}

export interface ReplayResult {
  readonly counts: ReplayCounts
  readonly digest: string
  /** Hash of the last batch. */
  readonly chain: Buffer
}

/** Batches whose inputs are being put together while others are decided: about 20,000 records. */
const BATCHES_AHEAD = 4
const PROGRESS_EVERY_MS = 1_000

/** @throws OperatingError of the sources; `stopped` where the signal was raised */
export const replay = async (options: ReplayOptions): Promise<ReplayResult> => {
  const { plan, memory, chain, onDecided, onProgress, signal } = options
  const { encodersOf, onDifference } = options
  const replayer = new Replayer({ memory, chain, encodersOf, onDifference })
  let lastHash = chain
  let shownAt = performance.now()
  for await (const { stored, assembled } of ahead(options)) {
    signal.throwIfAborted()
    const { inputs } = assembled
    await replayer.replay(stored, assembled, async (state, effects) =>
      onDecided?.({ stored, inputs, state, effects }),
    )
    lastHash = stored.hash
    if (performance.now() - shownAt < PROGRESS_EVERY_MS) continue
    shownAt = performance.now()
    const { transactions, records } = replayer.counts
    onProgress({ batch: stored.sequence, transactions, inputs: records })
  }
  if (replayer.counts.batches < plan.batches) {
    throw new OperatingError('batches_gone', 'batches of the stretch have disappeared meanwhile')
  }
  return { counts: replayer.counts, digest: replayer.end(), chain: lastHash }
}

/** Batches with their inputs, in order; the next ones' are under way. */
async function* ahead({
  batches,
  plan,
  inputs,
}: ReplayOptions): AsyncGenerator<{ stored: StoredHeader; assembled: AssembledBatch }> {
  const waiting: { stored: StoredHeader; assembling: Promise<AssembledBatch> }[] = []
  const first = async () => {
    const { stored, assembling } = waiting.shift()!
    return { stored, assembled: await assembling }
  }
  for await (const chunk of batches.headers(plan.after, plan.through)) {
    for (const stored of chunk) {
      const assembling = inputs.inputsOf(stored.header)
      // Thrown when its turn comes.
      assembling.catch(() => undefined)
      waiting.push({ stored, assembling })
      if (waiting.length > BATCHES_AHEAD) yield await first()
    }
  }
  while (waiting.length > 0) yield await first()
}
