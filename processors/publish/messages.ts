/** From stored batches to Kafka messages: each frame as it is, balances only the newest of a round, and the flat ledger entries. */
import { batchHash, readFrames } from '#domain/ledger/batch-record.ts'
import { IncidentError } from '#platform/errors.ts'
import type { OutputMessage } from '#platform/kafka/fenced-producer.ts'
import type { StoredBatch } from '#platform/postgres/batch-store.ts'

/** A balance as it stands in a frame: bytes in wire format. */
export interface Round {
  readonly messagesByTopic: Map<string, OutputMessage[]>
  /** Account id → the newest balance of the round, in wire format. */
  readonly balances: Map<string, Buffer>
  readonly last: StoredBatch
  readonly messages: number
}

/** Entries of one `transactions.processed` value as messages; null switches them off. */
export type EntriesOf = ((processed: Buffer) => OutputMessage[]) | null

/** The value of `ledger.batches` that stands for a batch; null switches them off. */
export type BatchOf = ((batch: StoredBatch) => Buffer) | null

/**
 * Makes the messages of some batches that follow each other, for one Kafka transaction.
 * @param previous what was published last: its sequence and, where known, its hash
 * @throws IncidentError `batch_gap`, `batch_damaged`
 */
export const messagesOf = (
  batches: readonly StoredBatch[],
  previous: { readonly sequence: bigint; readonly hash: Buffer | null },
  topicPrefix: string,
  entriesOf: EntriesOf,
  batchOf: BatchOf,
): Round => {
  const messagesByTopic = new Map<string, OutputMessage[]>()
  const balances = new Map<string, Buffer>()
  let before = previous
  let messages = 0
  for (const batch of batches) {
    check(batch, before)
    before = { sequence: batch.sequence, hash: batch.hash }
    if (batchOf !== null) {
      push(messagesByTopic, `${topicPrefix}ledger.batches`, {
        key: String(batch.sequence),
        value: batchOf(batch),
      })
    }
    let lastProcessed: OutputMessage | null = null
    for (const frame of readFrames(batch.payload)) {
      if (frame.topic === 'balances') {
        balances.set(frame.key.toString('utf8'), frame.value)
        continue
      }
      const message = { key: frame.key, value: frame.value }
      push(messagesByTopic, topicPrefix + frame.topic, message)
      if (frame.topic !== 'transactions.processed') continue
      lastProcessed = message
      if (entriesOf === null) continue
      for (const entry of entriesOf(frame.value)) push(messagesByTopic, `${topicPrefix}ledger.entries`, entry)
    }
    // The head travels with the outputs, so that a tail rewritten later shows.
    if (lastProcessed !== null) {
      lastProcessed.headers = { 'batch-sequence': String(batch.sequence), 'batch-hash': batch.hash }
    }
  }
  for (const [account, value] of balances) {
    push(messagesByTopic, `${topicPrefix}balances`, { key: account, value })
  }
  for (const list of messagesByTopic.values()) messages += list.length
  return { messagesByTopic, balances, last: batches.at(-1)!, messages }
}

const push = (byTopic: Map<string, OutputMessage[]>, topic: string, message: OutputMessage): void => {
  const list = byTopic.get(topic)
  if (list === undefined) byTopic.set(topic, [message])
  else list.push(message)
}

const check = (
  batch: StoredBatch,
  previous: { readonly sequence: bigint; readonly hash: Buffer | null },
): void => {
  if (batch.sequence !== previous.sequence + 1n) {
    throw new IncidentError('batch_gap', `expected batch ${previous.sequence + 1n}, found ${batch.sequence}`)
  }
  const isChained = previous.hash === null || previous.hash.equals(batch.previousHash)
  if (!isChained || !batchHash(batch.previousHash, batch.header, batch.payload).equals(batch.hash)) {
    throw new IncidentError(
      'batch_damaged',
      `batch ${batch.sequence} doesn't have the hash it was committed with`,
    )
  }
}
