/** `topics apply | check`: the topics and their schemas, as in schemas/topics.ts. */
import type { Command } from 'commander'
import { addCommand, exitCodes } from '#cli/command.ts'
import { loadConfiguration } from '#cli/configuration.ts'
import { wholeOf } from '#cli/options.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import { KafkaAdmin, type TopicDifference } from '#platform/kafka/admin.ts'
import { makeKafka } from '#platform/kafka/client.ts'
import { createLogger } from '#platform/observability/logger.ts'
import {
  checkContracts,
  registerContracts,
  type SchemaDifference,
} from '#platform/schema-registry/contracts.ts'
import { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { ALL_TOPICS, topicTable } from '#schemas/topics.ts'

/** Makes what is missing: topics, and schemas in the registry. @returns what still differs */
export const applyTopics = async (
  configuration: Configuration,
  replication: number,
): Promise<{ differences: TopicDifference[]; schemas: number }> => {
  const logger = createLogger({ level: configuration.logLevel, service: 'cli' })
  const admin = new KafkaAdmin(makeKafka(configuration.kafka, { clientId: 'tallystream-cli', logger }))
  try {
    const { topicPrefix } = configuration.ledger
    const differences = await admin.ensureTopics(topicTable(topicPrefix, replication))
    const contracts = await registerContracts(new SchemaRegistry(configuration.schemaRegistry), topicPrefix)
    return { differences, schemas: Object.keys(contracts).length }
  } finally {
    await admin.close()
  }
}

const differenceLine = ({ topic, property, expected, actual }: TopicDifference): string =>
  property === 'missing' ? `${topic}: missing` : `${topic}: ${property} is ${actual}, expected ${expected}`

const schemaLine = ({ subject, property, expected, actual }: SchemaDifference): string =>
  property === 'schema'
    ? `${subject}: ${expected} is not registered`
    : `${subject}: compatibility is ${actual ?? 'not set'}, expected ${expected}`

/** What the differences need: what is missing can be made, the others are a person's decision. */
const remedyOf = (
  differences: readonly TopicDifference[],
  schemaDifferences: readonly SchemaDifference[],
): string =>
  differences.some(({ property }) => property === 'missing') ||
  schemaDifferences.some(({ property }) => property === 'schema')
    ? 'npx tallystream topics apply makes what is missing'
    : 'what exists is never changed here: change it with the tools of your brokers and registry'

const report = (differences: readonly TopicDifference[], schemaDifferences: readonly SchemaDifference[]) => {
  const isGood = differences.length === 0 && schemaDifferences.length === 0
  const lines = [...differences.map(differenceLine), ...schemaDifferences.map(schemaLine)]
  return {
    json: { topics: ALL_TOPICS.length, differences, schemaDifferences },
    text: isGood
      ? `${ALL_TOPICS.length} topics and their schemas are as they should be`
      : [...lines, remedyOf(differences, schemaDifferences)].join('\n'),
    exitCode: isGood ? exitCodes.ok : exitCodes.difference,
  }
}

const replicationOf = (text: string): number => wholeOf(text, '--replication', { min: 1, max: 100 })

/** Registers `topics` and its subcommands. */
export function registerTopics(program: Command): void {
  const topics = program.command('topics').description('the topics and schemas of the ledger')
  const withReplication = (command: Command) =>
    command.option('--replication <n>', 'copies of each partition', '1')
  addCommand<{ replication: string }>(topics, {
    usage: 'apply',
    audited: true,
    summary: 'create missing topics, register schemas, report what differs',
    example: 'topics apply --replication 1',
    configure: withReplication,
    run: async (_context, { replication }) => {
      const { differences } = await applyTopics(loadConfiguration(), replicationOf(replication))
      return report(differences, [])
    },
  })
  addCommand<{ replication: string }>(topics, {
    usage: 'check',
    summary: 'compare topics with the table, and the registry with the schemas; changes nothing',
    example: 'topics check',
    configure: withReplication,
    run: async (_context, { replication }) => {
      const configuration = loadConfiguration()
      const admin = new KafkaAdmin(makeKafka(configuration.kafka, { clientId: 'tallystream-cli' }))
      try {
        const { topicPrefix } = configuration.ledger
        const differences = await admin.checkTopics(topicTable(topicPrefix, replicationOf(replication)))
        const registry = new SchemaRegistry(configuration.schemaRegistry)
        return report(differences, await checkContracts(registry, topicPrefix))
      } finally {
        await admin.close()
      }
    },
  })
}
