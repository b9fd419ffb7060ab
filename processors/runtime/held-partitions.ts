/** The partitions that a processor holds: where each must be read on, and proof that what is read follows what was applied. */
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import { IncidentError, OperatingError } from '#platform/errors.ts'
import type { IngestChunk } from '#platform/kafka/partition-inbox.ts'
import type { ClaimedPartition, PartitionToClaim } from '#platform/postgres/ledger-store/store.ts'
import { TOPICS } from '#schemas/topics.ts'
import { type LastRecord, lastRecord } from './last-record.ts'
import type { DecodedChunk } from './selection.ts'

export class HeldPartitions {
  private readonly claims = new Map<string, ClaimedPartition>()
  /** Where each claimed partition's next chunk must begin. */
  private readonly expected = new Map<string, bigint>()
  /** Partitions whose last applied record has yet to be found in the log as it was. */
  private readonly unverified = new Map<string, NonNullable<LastRecord>>()

  all(): ClaimedPartition[] {
    return [...this.claims.values()]
  }

  /** Lets go of one. @returns its claim, if it was held */
  letGo(name: string): ClaimedPartition | undefined {
    const claim = this.claims.get(name)
    this.claims.delete(name)
    this.expected.delete(name)
    this.unverified.delete(name)
    return claim
  }

  clear(): void {
    this.claims.clear()
    this.expected.clear()
    this.unverified.clear()
  }

  /**
   * Keeps a claim. Reading begins at the last applied record where the log still has it: a topic that was made anew has another
   * one there, and nobody else would notice. Where there is no such record, the topic must have the id under which it was first read.
   * @param log its first offset and its topic's id (null: nobody knows)
   * @returns where to read; an incident where that would be another topic
   */
  hold(
    claim: ClaimedPartition,
    log: Pick<PartitionToClaim, 'initialOffset' | 'topicId'>,
  ): bigint | IncidentError {
    const name = `${claim.topic}:${claim.partition}`
    const { last } = claim
    if (last === null || last.offset < log.initialOffset) {
      if (isAnotherTopic(claim.topicId, log.topicId) && !isWayOut(claim)) {
        return new IncidentError(
          'topic_recreated',
          `expected the topic with the id ${claim.topicId}, under which it was first read, found ${log.topicId}; the topic was made anew`,
        )
      }
      this.claims.set(name, claim)
      this.expected.set(name, claim.nextOffset)
      return claim.nextOffset
    }
    this.claims.set(name, claim)
    this.unverified.set(name, { ...last, timestampMs: 0 })
    this.expected.set(name, last.offset)
    return last.offset
  }

  /**
   * Takes a chunk in where it begins at the expected position; anything else means that records were missed.
   * @param inputs one a record of the chunk
   * @returns what is to be decided; null where the partition isn't held; an incident where the log isn't the one that was applied
   * @throws OperatingError `position_not_contiguous`
   */
  accept(
    name: string,
    chunk: IngestChunk,
    inputs: readonly LedgerInput[],
  ): DecodedChunk | IncidentError | null {
    const claim = this.claims.get(name)
    if (claim === undefined) return null
    const expected = this.expected.get(name)
    if (expected !== chunk.fetchedOffset) {
      throw new OperatingError(
        'position_not_contiguous',
        `${name}: expected to read from ${expected}, got ${chunk.fetchedOffset}`,
        { retriable: true },
      )
    }
    this.expected.set(name, chunk.nextOffset)
    const incident = this.verify(name, chunk)
    if (incident !== null) return incident
    // What was read once more to be verified is applied already.
    const again = chunk.records.findIndex((record) => record.offset >= claim.nextOffset)
    const skipped = again < 0 ? chunk.records.length : again
    const records: (() => LastRecord)[] = chunk.records
      .slice(skipped)
      .map((record) => () => lastRecord(record))
    const isAhead = chunk.fetchedOffset > claim.nextOffset
    const from = isAhead ? chunk.fetchedOffset : claim.nextOffset
    const last = chunk.records.at(-1)
    const passed = last === undefined || last.offset < from ? from : last.offset + 1n
    const accepted = inputs.slice(skipped)
    if (chunk.nextOffset > passed) {
      const { topic, partition } = claim
      accepted.push({ type: 'advance', topic, partition, offset: chunk.nextOffset - 1n })
      records.push(() => null)
    }
    if (accepted.length !== records.length) throw new Error('one input a record')
    return { claim, from, inputs: accepted, bytes: chunk.bytes, records }
  }

  /** Whether the log holds the last applied record as it was; if not, the partition stops. */
  private verify(name: string, chunk: IngestChunk): IncidentError | null {
    const last = this.unverified.get(name)
    if (last === undefined) return null
    const first = chunk.records[0]
    if (first === undefined && chunk.nextOffset <= last.offset) return null
    this.unverified.delete(name)
    const isSame = first?.offset === last.offset && lastRecord(first)!.hash.equals(last.hash)
    if (isSame) return null
    return new IncidentError(
      'topic_recreated',
      `the record at offset ${last.offset} isn't the one that was applied; the topic was made anew or is another cluster's`,
    )
  }
}

/** Commands lead out of incidents. Where none was ever applied there is no other way to give one. */
const isWayOut = ({ topic, nextOffset }: ClaimedPartition): boolean =>
  topic === TOPICS.commands.name && nextOffset === 0n

/** Where one of them is unknown (brokers before Kafka 3.1), nothing can be said. */
const isAnotherTopic = (stored: string | null, found: string | null): boolean =>
  stored !== null && found !== null && stored !== found
