/** The schemas of all topics, registered: what writers and readers of a ledger's topics share. */
import { type EncodeAt, FRAME_TOPICS } from '#domain/ledger/batch-record.ts'
import { ALL_TOPICS, TOPICS, type TopicDefinition, type TopicKey, valueSubject } from '#schemas/topics.ts'
import { type AvroSchemaObject, readSchemaFile, type SchemaRegistry } from './registry.ts'
import { AvroEncoder, avroType } from './serde.ts'

export interface Contract {
  readonly topic: TopicDefinition
  readonly schema: AvroSchemaObject
  /** Id in the registry. */
  readonly id: number
}

export type Contracts = { readonly [key in TopicKey]: Contract }

const WIRE_HEADER_BYTES = 5

/** The schema of a topic's values, from schemas/avro/. */
export const schemaOf = (topic: TopicDefinition): AvroSchemaObject =>
  readSchemaFile(new URL(`../../schemas/avro/${topic.schemaFile}`, import.meta.url))

/**
 * Registers the schemas of all topics (each subject BACKWARD compatible) and gives their ids.
 * @throws OperatingError `schema_incompatible`, `registry_unreachable`
 */
export const registerContracts = async (
  registry: SchemaRegistry,
  topicPrefix: string,
): Promise<Contracts> => {
  const byName = new Map<string, Contract>()
  for (const topic of ALL_TOPICS) {
    const schema = schemaOf(topic)
    const id = await registry.register(valueSubject(topicPrefix, topic), schema)
    byName.set(topic.name, { topic, schema, id })
  }
  return Object.fromEntries(
    Object.entries(TOPICS).map(([key, topic]) => [key, byName.get(topic.name)!]),
  ) as Contracts
}

/** What differs in the registry from what registerContracts makes of it. */
export interface SchemaDifference {
  readonly subject: string
  readonly property: 'schema' | 'compatibility'
  /** Null = there is none. */
  readonly actual: string | null
  readonly expected: string
}

/**
 * Compares the registry with the schemas of all topics; changes nothing. A subject may have later versions beside ours.
 * @throws UnreachableError `registry_unreachable`
 */
export const checkContracts = async (
  registry: SchemaRegistry,
  topicPrefix: string,
): Promise<SchemaDifference[]> => {
  const differences: SchemaDifference[] = []
  for (const topic of ALL_TOPICS) {
    const subject = valueSubject(topicPrefix, topic)
    const { id, compatibility } = await registry.subjectState(subject, schemaOf(topic))
    if (id === null)
      differences.push({ subject, property: 'schema', actual: null, expected: topic.schemaFile })
    if (compatibility !== 'BACKWARD')
      differences.push({ subject, property: 'compatibility', actual: compatibility, expected: 'BACKWARD' })
  }
  return differences
}

/** Registry ids of the outputs' schemas, by place in FRAME_TOPICS: what a batch record says of how its frames are encoded. */
export const frameSchemaIds = (contracts: Contracts): number[] => {
  const ids = new Map(Object.values(contracts).map(({ topic, id }) => [topic.name, id]))
  return FRAME_TOPICS.map((topic) => ids.get(topic)!)
}

/** An encoder that makes whole values of a topic. */
export const encoderOf = <T>(contract: Contract): AvroEncoder<T> =>
  new AvroEncoder<T>(contract.schema, contract.id)

/** An encoder that writes into a given buffer, in registry wire format. */
export const encodeAtOf = <T>(contract: Pick<Contract, 'schema' | 'id'>): EncodeAt<T> => {
  const type = avroType(contract.schema)
  const { id } = contract
  return (value, buffer, at) => {
    if (at + WIRE_HEADER_BYTES > buffer.length) return -1
    buffer[at] = 0
    buffer.writeInt32BE(id, at + 1)
    return type.encode(value, buffer, at + WIRE_HEADER_BYTES)
  }
}
