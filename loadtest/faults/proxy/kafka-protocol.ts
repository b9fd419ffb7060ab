/**
 * Follows a Kafka connection far enough to name the moments of a producer's transaction. Requests and responses are a length and a
 * body; a request's body begins with key, version and correlation id, a response's with the correlation id
 * (Kafka protocol guide, "Protocol Primitive Types" and "Requests").
 */
import type { Frame, ProtocolReader } from './tcp-proxy.ts'

/** All of a transaction that is to be committed; aborts have no events. */
export const KAFKA_EVENTS = {
  partitionsSent: 'partitions added',
  recordsDone: 'records written',
  endSent: 'end of the transaction sent',
  endDone: 'end of the transaction done',
} as const

const API = { produce: 0, addPartitionsToTransaction: 24, endTransaction: 26 } as const
const LENGTH_BYTES = 4
const NULL = -1

export class KafkaReader implements ProtocolReader {
  readonly #client = new SizeCutter()
  readonly #server = new SizeCutter()
  /** Correlation id → what the response will mean. */
  readonly #answers = new Map<number, string>()

  fromClient(chunk: Buffer): Frame[] {
    return this.#client.cut(chunk).map((bytes) => ({ bytes, event: this.#sent(bytes) }))
  }

  fromServer(chunk: Buffer): Frame[] {
    return this.#server.cut(chunk).map((bytes) => {
      const correlation = bytes.readInt32BE(LENGTH_BYTES)
      const event = this.#answers.get(correlation)
      this.#answers.delete(correlation)
      return { bytes, event }
    })
  }

  #sent(bytes: Buffer): string | undefined {
    const api = bytes.readInt16BE(4)
    const correlation = bytes.readInt32BE(8)
    const clientLength = bytes.readInt16BE(12)
    const body = 14 + Math.max(clientLength, 0)
    switch (api) {
      case API.addPartitionsToTransaction:
        return KAFKA_EVENTS.partitionsSent
      case API.produce:
        // Only a transactional producer names its id here.
        if (bytes.readInt16BE(body) !== NULL) this.#answers.set(correlation, KAFKA_EVENTS.recordsDone)
        return undefined
      case API.endTransaction: {
        const isCommit = bytes[body + 2 + bytes.readInt16BE(body) + 8 + 2] === 1
        if (!isCommit) return undefined
        this.#answers.set(correlation, KAFKA_EVENTS.endDone)
        return KAFKA_EVENTS.endSent
      }
      default:
        return undefined
    }
  }
}

class SizeCutter {
  #rest: Buffer = Buffer.alloc(0)

  cut(chunk: Buffer): Buffer[] {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const messages: Buffer[] = []
    let from = 0
    while (bytes.length - from >= LENGTH_BYTES) {
      const end = from + LENGTH_BYTES + bytes.readInt32BE(from)
      if (end > bytes.length) break
      messages.push(bytes.subarray(from, end))
      from = end
    }
    this.#rest = bytes.subarray(from)
    return messages
  }
}
