/**
 * Reads from batch records what the tables don't hold of a decision: the fraud rules that fired, with what they saw, and what a
 * refused transaction had asked for. Applied transactions are stored in full and cost nothing here.
 */
import { readFrames } from '#domain/ledger/batch-record.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import type { Page } from '#platform/postgres/queries/cursor.ts'
import type { ListedTransaction } from '#platform/postgres/queries/list-transactions.ts'
import { readBatchPayload } from '#platform/postgres/queries/read-batch-payload.ts'
import { readBatchSizes } from '#platform/postgres/queries/read-batch-sizes.ts'
import type { StoredPosting } from '#platform/postgres/queries/transaction-rows.ts'
import { schemaOf } from '#platform/schema-registry/contracts.ts'
import type { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { AvroDecoder, writerIdOf } from '#platform/schema-registry/serde.ts'
import { TOPICS } from '#schemas/topics.ts'

/** Where a decision stands, and of which transaction it is. */
export interface DecisionPlace {
  readonly sequence: bigint
  readonly index: number
  /** The transaction's id. */
  readonly id: string
}

export interface DecisionRecord {
  readonly rules: readonly {
    ruleId: string
    version: bigint
    value: bigint
    threshold: bigint
    action: string
    points: number
    words: string
  }[]
  /** What was asked for, where nothing was posted or reserved. */
  readonly requested: readonly StoredPosting[]
}

/**
 * Gives the records in the order of their places: undefined where the batch is gone, or can't be read now. They are an extra, for
 * which a transaction isn't held back. Shorter than `places` where the rest would be too much to unpack for one request.
 */
export type DecisionReader = (
  places: readonly DecisionPlace[],
) => Promise<readonly (DecisionRecord | undefined)[]>

/** As schemas/avro/transaction-processed.avsc has it. */
interface ProcessedValue {
  readonly index: number
  readonly rules: DecisionRecord['rules']
  readonly requested: readonly { debit: string; credit: string; amount: bigint; currency: string }[]
}

/** Compressed bytes that one request may unpack: a fraction of a second's work. The first batch is always read. */
const BYTES_MAX = 16 * 1024 * 1024
const BATCHES_AT_ONCE = 4

/** Makes a reader over the stored batches. */
export function makeDecisionReader(options: {
  pool: ReadPool
  registry: SchemaRegistry
  bytesMax?: number
  onFailure: (error: unknown) => void
}): DecisionReader {
  const { pool, bytesMax = BYTES_MAX } = options
  const decoder = new AvroDecoder<ProcessedValue>(options.registry, schemaOf(TOPICS.processed))

  /** Of one batch, the decisions about these transactions, by index. */
  const readBatch = async (sequence: bigint, ids: ReadonlySet<string>) => {
    const payload = await readBatchPayload(pool, sequence)
    const frames = payload === undefined ? [] : readFrames(payload)
    const values = frames
      .filter(({ topic, key }) => topic === TOPICS.processed.name && ids.has(key.toString()))
      .map((frame) => frame.value)
    await decoder.prepare(values.flatMap((value) => writerIdOf(value) ?? []))
    return new Map(values.map((bytes) => decoder.decode(bytes)).map((value) => [value.index, value]))
  }

  const read = async (places: readonly DecisionPlace[]) => {
    const sequences = [...new Set(places.map(({ sequence }) => sequence))]
    const wanted = await withinBytes(pool, sequences, bytesMax)
    const batches = new Map<bigint, ReadonlyMap<number, ProcessedValue>>()
    for (let at = 0; at < wanted.length; at += BATCHES_AT_ONCE) {
      const some = wanted.slice(at, at + BATCHES_AT_ONCE)
      const idsOf = (sequence: bigint) =>
        new Set(places.filter((place) => place.sequence === sequence).map(({ id }) => id))
      const found = await Promise.all(some.map((sequence) => readBatch(sequence, idsOf(sequence))))
      for (const [place, values] of found.entries()) batches.set(some[place]!, values)
    }
    const end = places.findIndex(({ sequence }) => !batches.has(sequence))
    return places
      .slice(0, end === -1 ? places.length : end)
      .map(({ sequence, index }) => recordOf(batches.get(sequence)?.get(index)))
  }

  return async (places) => {
    if (places.length === 0) return []
    try {
      return await read(places)
    } catch (error) {
      options.onFailure(error)
      return places.map(() => undefined)
    }
  }
}

/** The first of the batches whose payloads are not larger together, at least one. */
async function withinBytes(
  pool: ReadPool,
  sequences: readonly bigint[],
  bytesMax: number,
): Promise<bigint[]> {
  const sizes = await readBatchSizes(pool, sequences)
  let bytes = 0
  return sequences.filter((sequence, place) => {
    bytes += sizes.get(sequence) ?? 0
    return place === 0 || bytes <= bytesMax
  })
}

const recordOf = (value: ProcessedValue | undefined): DecisionRecord | undefined =>
  value === undefined
    ? undefined
    : {
        rules: value.rules,
        requested: value.requested.map(({ debit, credit, amount, currency }) => ({
          debit,
          credit,
          amountMinor: amount,
          currency,
        })),
      }

/** Whether the tables hold nothing of what it asked for. */
const isBare = ({ status, postings }: ListedTransaction): boolean =>
  status === 'rejected' && postings.length === 0

/**
 * A page on which refused transactions show what they asked for. It ends early, with a cursor to go on, where the rest would be
 * too much to unpack for one request.
 */
export async function withRequested(
  page: Page<ListedTransaction>,
  readDecisions: DecisionReader,
): Promise<Page<ListedTransaction>> {
  const bare = page.items.filter(isBare)
  const records = await readDecisions(bare)
  const requested = new Map(records.map((record, place) => [bare[place]!, record?.requested ?? []]))
  const end = page.items.findIndex((item) => isBare(item) && !requested.has(item))
  const items = (end === -1 ? page.items : page.items.slice(0, end)).map((item) => ({
    ...item,
    postings: requested.get(item) ?? item.postings,
  }))
  const last = items.at(-1)
  const isCut = end !== -1 && last !== undefined
  return { items, next: isCut ? [last.sequence, BigInt(last.index)] : page.next }
}
