/**
 * Publishes requests as records of the ingest topics. As JSON, on purpose: a record without the time it occurred is known again
 * when a client sends it once more, and nothing depends on the registry.
 */
import { OperatingError } from '#platform/errors.ts'
import type { RecordPosition } from '#platform/kafka/producer.ts'
import { currentTrace, TRACE_HEADER, traceparentOf } from '#platform/observability/trace.ts'
import { TOPICS, type TopicKey } from '#schemas/topics.ts'

/** What a request becomes: bigint fields leave as strings of digits. */
export type IngestRecord = Readonly<Record<string, unknown>>

export interface IngestGateway {
  /**
   * Publishes one record; resolves when all replicas have it.
   *
   * @param key For ordering only.
   * @returns its position; the topic without the ledger's prefix.
   * @throws OperatingError as the producer does.
   */
  publish(topic: TopicKey, key: string, record: IngestRecord): Promise<RecordPosition>
}

/** The part of a producer that is used. */
export interface RecordSender {
  send(record: {
    topic: string
    key: string
    value: Buffer
    headers: Record<string, string>
  }): Promise<RecordPosition>
}

/** A request's record names its trace, so that what becomes of it can be found from either end. */
function headersOf(): Record<string, string> {
  const trace = currentTrace()
  const type = { 'content-type': 'application/json' }
  return trace === undefined ? type : { ...type, [TRACE_HEADER]: traceparentOf(trace) }
}

export interface IngestGatewayOptions {
  sender: RecordSender
  topicPrefix: string
  /** Told how each publishing went. */
  onPublished?: (topic: string, result: 'ok' | 'failed', seconds: number) => void
}

/** A gateway over a producer. */
export function makeIngestGateway(options: IngestGatewayOptions): IngestGateway {
  return {
    publish: async (topicKey, key, record) => {
      const { name, direction } = TOPICS[topicKey]
      if (direction !== 'in')
        throw new OperatingError('topic_not_ingest', `${name} is written by the publisher alone`)
      const startedMs = performance.now()
      const seconds = () => (performance.now() - startedMs) / 1000
      try {
        const value = Buffer.from(JSON.stringify(record, withDigits))
        const position = await options.sender.send({
          topic: `${options.topicPrefix}${name}`,
          key,
          value,
          headers: headersOf(),
        })
        options.onPublished?.(name, 'ok', seconds())
        return { ...position, topic: name }
      } catch (error) {
        options.onPublished?.(name, 'failed', seconds())
        throw error
      }
    },
  }
}

const withDigits = (_name: string, value: unknown): unknown =>
  typeof value === 'bigint' ? value.toString() : value
