/**
 * Decides history again. Batch by batch in the recorded order: inputs → decide → encode → hash, and the hash is compared with
 * the stored one. Nothing stored but the headers is read unless a hash differs.
 */
import { batchHash, FrameWriter } from '#domain/ledger/batch-record.ts'
import { decideBatch } from '#domain/ledger/decide.ts'
import { type BatchEffects, type LedgerState, LOGIC_VERSION } from '#domain/ledger/state.ts'
import { IncidentError } from '#platform/errors.ts'
import { type OutputEncoders, writeOutputs } from '../../runtime/outputs.ts'
import type { AssembledBatch, RecordProblem } from './assembler.ts'
import { LedgerDigest } from './digest.ts'
import { rebuiltHeader, type StoredHeader } from './header.ts'
import type { LedgerMemory } from './ledger-memory.ts'

/** A batch whose record isn't what a replay gives. */
export interface DifferingBatch {
  readonly stored: StoredHeader
  /** What the replay gives; the payload is only valid until the next batch. */
  readonly header: Buffer
  readonly payload: Buffer
  readonly problems: readonly RecordProblem[]
  /** Set where the stored record doesn't continue the one before it. */
  readonly chain: string | null
  /** Hashes that what the replay gives has behind the stored batch before it, and behind the hash that the stored record names. */
  readonly hashes: readonly Buffer[]
}

export interface ReplayCounts {
  batches: number
  records: number
  /** Records of the topic `transactions` that were decided. */
  transactions: number
  readonly outcomes: Record<string, number>
}

export interface ReplayerOptions {
  readonly memory: LedgerMemory
  /** Encoders under the registry ids of the time. @throws OperatingError `schema_unknown`, `registry_unreachable` */
  readonly encodersOf: (schemaIds: readonly number[] | undefined) => Promise<OutputEncoders>
  /** Hash before the first batch. */
  readonly chain: Buffer
  /** Awaited before the next batch is decided. */
  readonly onDifference: (batch: DifferingBatch) => Promise<void>
}

export class Replayer {
  readonly counts: ReplayCounts = { batches: 0, records: 0, transactions: 0, outcomes: {} }
  private readonly options: ReplayerOptions
  private readonly digest = new LedgerDigest()
  private readonly writer = new FrameWriter()
  private chain: Buffer

  constructor(options: ReplayerOptions) {
    this.options = options
    this.chain = options.chain
  }

  /**
   * Decides a batch again, given its inputs. @param onDecided awaited before the memory keeps the batch
   * @throws IncidentError `logic_version_unknown`
   */
  async replay(
    stored: StoredHeader,
    assembled: AssembledBatch,
    onDecided: (state: LedgerState, effects: BatchEffects) => Promise<void>,
  ): Promise<void> {
    const { memory, encodersOf } = this.options
    const { header } = stored
    if (header.logic !== LOGIC_VERSION) {
      throw new IncidentError(
        'logic_version_unknown',
        `batch ${stored.sequence} was decided by logic version ${header.logic}, this code knows ${LOGIC_VERSION}`,
      )
    }
    const encoders = await encodersOf(header.schemas)
    const chain = this.chainProblem(stored)
    // Behind a gap the rest is still worth looking at.
    memory.sequence = stored.sequence - 1n
    for (const { topic, partition, to } of header.jumps ?? []) {
      memory.positionsOf(header.cluster).set(`${topic}:${partition}`, BigInt(to))
    }
    const state = memory.stateFor(assembled.inputs, header.cluster)
    const effects = decideBatch(state, assembled.inputs)
    writeOutputs(this.writer, encoders, state, effects)
    const rebuilt = Buffer.from(JSON.stringify(rebuiltHeader(header, state, effects)), 'utf8')
    const payload = this.writer.frames()
    const problems = [...assembled.problems, ...unconsumed(assembled, effects)]
    const hash = batchHash(this.chain, rebuilt, payload)
    if (!hash.equals(stored.hash) || chain !== null || problems.length > 0) {
      const hashes = [hash, batchHash(stored.previousHash, rebuilt, payload)]
      await this.options.onDifference({ stored, header: rebuilt, payload, problems, chain, hashes })
    }
    this.chain = stored.hash
    await onDecided(state, effects)
    memory.keep(state, effects)
    this.count(assembled, effects)
  }

  /** Ends the digest with the balances as they are now. */
  end(): string {
    return this.digest.end(this.options.memory.accountsInOrder())
  }

  private chainProblem({ sequence, previousHash, header }: StoredHeader): string | null {
    const expected = this.options.memory.sequence + 1n
    if (sequence !== expected) return `expected batch ${expected}, found ${sequence}`
    if (header.sequence !== String(sequence)) return `its header names sequence ${header.sequence}`
    return previousHash.equals(this.chain) ? null : 'it does not continue the batch before it'
  }

  private count(assembled: AssembledBatch, effects: BatchEffects): void {
    const { counts } = this
    counts.batches += 1
    counts.records += assembled.inputs.length
    for (const decision of effects.decisions) {
      this.digest.addDecision(decision)
      if (decision.cause === 'transaction') counts.transactions += 1
      const name = decision.reason === null ? decision.status : `${decision.status}: ${decision.reason}`
      counts.outcomes[name] = (counts.outcomes[name] ?? 0) + 1
    }
  }
}

/** Inputs that the batch had decided and the replay didn't: a tick ended it sooner. */
const unconsumed = ({ inputs }: AssembledBatch, effects: BatchEffects): RecordProblem[] =>
  inputs.slice(effects.consumed).map(({ topic, partition, offset }) => ({
    topic,
    partition,
    offset: String(offset),
    detail: 'the replay ends the batch before this record',
  }))
