/**
 * Reads given stretches of topics by their offsets, without a consumer group: for audits and the archive, which must neither
 * join nor disturb the group that the engine reads in. What is delivered is what the engine's reader delivers: the same
 * decoding, only committed records.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { OperatingError, UnreachableError } from '#platform/errors.ts'
import type { Kafka } from './client.ts'
import { asOperatingError, protocolTypeOf, within } from './client-errors.ts'
import { type ClusterInternals, clusterOf } from './cluster.ts'
import { FetchedBatch } from './fetched-batch.ts'
import type { IngestRecord } from './ingest-record.ts'

const READ_COMMITTED = 1
const CONSUMER_REPLICA_ID = -1
/** Of each partition two fetches are in memory at a time, unpacked. */
const FETCH_BYTES = 256 * 1024
const FETCH_WAIT_MS = 100
const FETCH_TIMEOUT_MS = 15_000
/** Fetches in a row that failed or brought nothing, though the range says that there is something: about 20 s. */
const ATTEMPTS_MAX = 30
const PAUSE_MS = { first: 20, most: 1_000 }

export class RangeReader {
  readonly #cluster: ClusterInternals
  #connecting: Promise<void> | undefined
  readonly #topics = new Set<string>()

  constructor(kafka: Kafka) {
    this.#cluster = clusterOf(kafka)
  }

  /**
   * The visible records of a partition with from ≤ offset < next, in chunks as they were fetched, none of them empty. The
   * next fetch is under way while the caller works on a chunk.
   * @param topic full name
   * @throws OperatingError `records_gone` where the log no longer begins at or before `from` or ends before `next`,
   * `kafka_unreachable`, `batch_undecodable`
   */
  async *read(topic: string, partition: number, from: bigint, next: bigint): AsyncGenerator<IngestRecord[]> {
    let fetching = from < next ? this.#fetch(topic, partition, from) : undefined
    while (fetching !== undefined) {
      const batch: FetchedBatch = await fetching
      const { nextOffset } = batch
      fetching = nextOffset < next ? this.#fetch(topic, partition, nextOffset) : undefined
      // Its failure is thrown when it is awaited; until then the caller may be busy or may have stopped.
      fetching?.catch(() => undefined)
      const { records } = batch
      const last = records.at(-1)
      const within =
        last === undefined || last.offset < next ? records : records.filter((r) => r.offset < next)
      if (within.length > 0) yield within
    }
  }

  /** Closes its connections. Never throws. */
  async close(): Promise<void> {
    this.#connecting = undefined
    await within(this.#cluster.disconnect(), 3_000, 'closing').catch(() => undefined)
  }

  /** One fetch that gets further than `offset`. */
  async #fetch(topic: string, partition: number, offset: bigint): Promise<FetchedBatch> {
    const doing = `reading ${topic}:${partition} at ${offset}`
    let last: unknown
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      if (attempt > 0) await sleep(Math.min(PAUSE_MS.first * 2 ** attempt, PAUSE_MS.most))
      try {
        const batch = await this.#fetchOnce(topic, partition, offset)
        if (batch.failure !== undefined) throw batch.failure
        if (batch.nextOffset > offset) return batch
        last = new OperatingError('records_gone', `${doing}: the log ends here`)
      } catch (error) {
        if (error instanceof OperatingError && error.code.startsWith('batch_')) throw error
        if (protocolTypeOf(error) === 'OFFSET_OUT_OF_RANGE') {
          throw new OperatingError('records_gone', `${doing}: the log no longer has it`, { cause: error })
        }
        last = error
        await this.#cluster.refreshMetadata().catch(() => undefined)
      }
    }
    if (last instanceof OperatingError) throw last
    throw asOperatingError(last ?? new UnreachableError('kafka', doing), doing)
  }

  async #fetchOnce(topic: string, partition: number, offset: bigint): Promise<FetchedBatch> {
    await within(this.#know(topic), FETCH_TIMEOUT_MS, `looking for ${topic}`)
    const nodeId = Object.keys(this.#cluster.findLeaderForPartitions(topic, [partition]))[0]
    if (nodeId === undefined) throw new UnreachableError('kafka', `${topic}:${partition} has no leader now`)
    const broker = await this.#cluster.findBroker({ nodeId })
    const request = broker.fetch({
      replicaId: CONSUMER_REPLICA_ID,
      isolationLevel: READ_COMMITTED,
      maxWaitTime: FETCH_WAIT_MS,
      minBytes: 1,
      maxBytes: FETCH_BYTES,
      topics: [{ topic, partitions: [{ partition, fetchOffset: String(offset), maxBytes: FETCH_BYTES }] }],
    })
    const { responses } = await within(request, FETCH_TIMEOUT_MS, 'fetching')
    const fetched = responses[0]?.partitions[0]
    if (fetched === undefined)
      throw new UnreachableError('kafka', 'the broker answered without the partition')
    return new FetchedBatch(topic, String(offset), fetched)
  }

  async #know(topic: string): Promise<void> {
    this.#connecting ??= this.#cluster.connect().catch((error: unknown) => {
      this.#connecting = undefined
      throw error
    })
    await this.#connecting
    if (this.#topics.has(topic)) return
    await this.#cluster.addMultipleTargetTopics([topic])
    this.#topics.add(topic)
  }
}
