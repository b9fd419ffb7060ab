/**
 * Which partition a record goes to: by the murmur2 hash of its key, the same as the Java client's, so that all producers
 * agree. In 32-bit arithmetic; the client's own version computes in 64-bit objects and dominated the cost of sending.
 */
import type * as KafkaClient from 'kafkajs'

const SEED = 0x9747b28c
const MULTIPLIER = 0x5bd1e995

/** murmur2 as in org.apache.kafka.common.utils.Utils, as a signed 32-bit integer. */
export function murmur2(data: Uint8Array): number {
  let hash = SEED ^ data.length
  const whole = data.length & ~3
  for (let index = 0; index < whole; index += 4) {
    let word = data[index]! | (data[index + 1]! << 8) | (data[index + 2]! << 16) | (data[index + 3]! << 24)
    word = Math.imul(word, MULTIPLIER)
    word ^= word >>> 24
    hash = Math.imul(hash, MULTIPLIER) ^ Math.imul(word, MULTIPLIER)
  }
  const rest = data.length - whole
  if (rest > 0) {
    if (rest > 2) hash ^= data[whole + 2]! << 16
    if (rest > 1) hash ^= data[whole + 1]! << 8
    hash = Math.imul(hash ^ data[whole]!, MULTIPLIER)
  }
  hash = Math.imul(hash ^ (hash >>> 13), MULTIPLIER)
  return hash ^ (hash >>> 15)
}

/** The partition of a key among so many. */
export function partitionOfKey(key: Buffer | string, partitions: number): number {
  return (murmur2(typeof key === 'string' ? Buffer.from(key) : key) & 0x7fffffff) % partitions
}

/** A message on its way. The choice is kept through the client's retries, so that a retried record without a key can't move. */
export type PartitionedMessage = KafkaClient.Message & { chosenPartition?: number }

/** A partitioner for kafkajs; expects PartitionedMessage objects that are used for one sending only. */
export function makePartitioner(): (args: KafkaClient.PartitionerArgs) => number {
  let next = 0
  return ({ partitionMetadata, message }) => {
    const partitioned = message as PartitionedMessage
    partitioned.chosenPartition ??=
      partitioned.partition ??
      (partitioned.key === null || partitioned.key === undefined
        ? partitionMetadata[next++ % partitionMetadata.length]!.partitionId
        : partitionOfKey(partitioned.key, partitionMetadata.length))
    return partitioned.chosenPartition
  }
}
