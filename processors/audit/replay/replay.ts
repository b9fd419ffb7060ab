/** Runs a replay: plan → inputs, a few batches ahead → replayer → what it found. */
import { OperatingError } from '#platform/errors.ts'
import type { OutputEncoders } from '../../runtime/outputs.ts'
import type { BatchSource } from '../batch-source.ts'
import type { AssembledBatch, InputSource } from './assembler.ts'
import { type Difference, differencesOf, type FrameReader } from './differences.ts'
import type { StoredHeader } from './header.ts'
import type { LedgerMemory } from './ledger-memory.ts'
import type { ReplayPlan } from './plan.ts'
import { type ReplayCounts, Replayer } from './replayer.ts'

export interface ReplayOptions {
  readonly batches: BatchSource
  readonly plan: ReplayPlan
  readonly inputs: InputSource
  /** The ledger before the first batch; afterwards as after the last. */
  readonly memory: LedgerMemory
  /** Hash of the batch before the first, or of the genesis. */
  readonly chain: Buffer
  readonly encodersOf: (schemaIds: readonly number[] | undefined) => Promise<OutputEncoders>
  readonly readFrame: FrameReader
  readonly onProgress: (done: ReplayProgress) => void
  readonly signal: AbortSignal
}

export interface ReplayProgress {
  readonly batch: bigint
  readonly transactions: number
  readonly inputs: number
  readonly differences: number
}

export interface ReplayResult {
  readonly counts: ReplayCounts
  readonly differences: number
  /** The first DIFFERENCES_LISTED_MAX of them. */
  readonly listed: readonly Difference[]
  readonly digest: string
  /** Hash of the last batch. */
  readonly chain: Buffer
}

/** More than these are counted and not listed: the first ones say what is wrong. */
export const DIFFERENCES_LISTED_MAX = 1_000
/** Batches whose inputs are being put together while others are decided: about 20,000 records. */
const BATCHES_AHEAD = 4
const PROGRESS_EVERY_MS = 1_000

/** @throws OperatingError of the sources; `stopped` where the signal was raised */
export const replay = async (options: ReplayOptions): Promise<ReplayResult> => {
  const { plan, batches, memory, onProgress, signal } = options
  const listed: Difference[] = []
  let differences = 0
  let lastHash = options.chain
  const replayer = new Replayer({
    memory,
    encodersOf: options.encodersOf,
    chain: options.chain,
    onDifference: async (batch) => {
      const payload = await batches.payload(batch.stored.sequence).catch(unreadable)
      const found = await differencesOf(batch, payload, options.readFrame)
      differences += found.length
      for (const each of found.slice(0, DIFFERENCES_LISTED_MAX - listed.length)) listed.push(each)
    },
  })
  let shownAt = performance.now()
  for await (const { stored, assembled } of ahead(options)) {
    signal.throwIfAborted()
    await replayer.replay(stored, assembled)
    lastHash = stored.hash
    if (performance.now() - shownAt < PROGRESS_EVERY_MS) continue
    shownAt = performance.now()
    const { transactions, records } = replayer.counts
    onProgress({ batch: stored.sequence, transactions, inputs: records, differences })
  }
  if (replayer.counts.batches < plan.batches) {
    throw new OperatingError('batches_gone', 'batches of the stretch have disappeared meanwhile')
  }
  return { counts: replayer.counts, differences, listed, digest: replayer.end(), chain: lastHash }
}

/** A payload that can't be unpacked is a finding, anything else isn't. */
const unreadable = (error: unknown): null => {
  if (error instanceof OperatingError && error.retriable) throw error
  return null
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
