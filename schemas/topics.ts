/**
 * THE table of topics: names, keys, schemas, partitions, retention, writers and readers.
 * Code, set-up (`tallystream topics apply`) and documentation all use this one.
 */

export interface TopicDefinition {
  /** Name without the ledger's prefix. */
  readonly name: string
  readonly direction: 'in' | 'out'
  /** File below schemas/avro/ that describes the value. */
  readonly schemaFile: string
  /** What the record's key holds. A key is for ordering only: correctness never depends on it. */
  readonly key: string
  readonly partitions: number
  /** `delete` keeps by time; `compact` keeps the newest record of each key. Inputs are never compacted: that would change a replay. */
  readonly cleanup: 'delete' | 'compact'
  /** Days kept where cleanup is `delete`. */
  readonly retentionDays: number
  readonly writers: readonly string[]
  readonly readers: readonly string[]
}

const DAY_MS = 86_400_000

const input = (
  name: string,
  schemaFile: string,
  key: string,
  partitions: number,
  writers: readonly string[],
): TopicDefinition => ({
  name,
  direction: 'in',
  schemaFile,
  key,
  partitions,
  cleanup: 'delete',
  retentionDays: 30,
  writers,
  readers: ['processor', 'auditor'],
})

const output = (
  name: string,
  schemaFile: string,
  key: string,
  partitions: number,
  cleanup: 'delete' | 'compact',
  readers: readonly string[],
): TopicDefinition => ({
  name,
  direction: 'out',
  schemaFile,
  key,
  partitions,
  cleanup,
  retentionDays: 30,
  writers: ['publisher'],
  readers,
})

/** Partitions of the one busy input topic and of the outputs that follow it. */
const BUSY_PARTITIONS = 8

export const TOPICS = {
  accounts: input('accounts', 'account.avsc', 'account id', 1, ['gateway', 'importer', 'generator']),
  cards: input('cards', 'card.avsc', 'card token', 1, ['gateway', 'importer', 'generator']),
  transactions: input('transactions', 'transaction.avsc', 'any (ordering only)', BUSY_PARTITIONS, [
    'producers',
    'gateway',
    'importer',
    'generator',
    'reconciler',
  ]),
  reviews: input('reviews', 'review.avsc', 'transaction id', 1, ['gateway']),
  'fraud.labels': input('fraud.labels', 'label.avsc', 'transaction id', 1, ['gateway', 'cli']),
  rules: input('rules', 'rule.avsc', 'rule id', 1, ['gateway', 'cli']),
  commands: input('commands', 'command.avsc', 'subject', 1, ['gateway', 'cli']),
  ticks: input('ticks', 'tick.avsc', 'none', 1, ['ticker']),
  statements: {
    ...input('statements', 'statement.avsc', 'bank account', 1, ['importer']),
    readers: ['reconciler'],
  },
  reconciliationCommands: {
    ...input('reconciliation.commands', 'reconciliation-command.avsc', 'pair', 1, ['cli']),
    readers: ['reconciler'],
  },
  processed: output(
    'transactions.processed',
    'transaction-processed.avsc',
    'transaction id',
    BUSY_PARTITIONS,
    'delete',
    ['producers', 'gateway', 'warehouse'],
  ),
  entries: output('ledger.entries', 'ledger-entry.avsc', 'sequence.index.entry', BUSY_PARTITIONS, 'delete', [
    'warehouse',
  ]),
  balances: output('balances', 'balance.avsc', 'account id', BUSY_PARTITIONS, 'compact', ['warehouse']),
  accountsCurrent: output('accounts.current', 'account-current.avsc', 'account id', 1, 'compact', [
    'warehouse',
  ]),
  rulesCurrent: output('rules.current', 'rule-current.avsc', 'rule id', 1, 'compact', ['fraud team']),
  alerts: output('fraud.alerts', 'fraud-alert.avsc', 'transaction id', 1, 'delete', ['fraud team']),
  notifications: output('notifications', 'notification.avsc', 'subject', 1, 'delete', ['operations']),
  batches: output('ledger.batches', 'ledger-batch.avsc', 'sequence', 1, 'delete', ['recovery', 'auditor']),
  reconciliationResults: {
    ...output('reconciliation.results', 'reconciliation-result.avsc', 'pair/id', 1, 'delete', [
      'operations',
      'warehouse',
    ]),
    writers: ['reconciler'],
  },
  deadLetters: output('transactions.dlq', 'dead-letter.avsc', 'topic-partition-offset', 1, 'delete', [
    'operations',
  ]),
} as const satisfies Record<string, TopicDefinition>

export type TopicKey = keyof typeof TOPICS

/** Every topic in the table. */
export const ALL_TOPICS: readonly TopicDefinition[] = Object.values(TOPICS)

/** The topics whose records processors decide, in the order of the table. Statements have a reader and positions of their own. */
export const INGEST_TOPICS: readonly TopicDefinition[] = ALL_TOPICS.filter(
  (topic) => topic.direction === 'in' && topic.readers.includes('processor'),
)

/** Broker-side configuration of a topic. Ingest limits stay below output limits, so whatever was accepted can be published. */
export const topicConfiguration = (topic: TopicDefinition): Record<string, string> => ({
  'cleanup.policy': topic.cleanup,
  'max.message.bytes': topic.direction === 'in' ? '1048576' : '4194304',
  'message.timestamp.type': topic.direction === 'in' ? 'LogAppendTime' : 'CreateTime',
  ...(topic.cleanup === 'delete' ? { 'retention.ms': String(topic.retentionDays * DAY_MS) } : {}),
})

/** Subject of the value schema in the registry (TopicNameStrategy). */
export const valueSubject = (topicPrefix: string, topic: TopicDefinition): string =>
  `${topicPrefix}${topic.name}-value`

/** The table for one ledger as brokers take it. @param replication copies of each partition */
export const topicTable = (
  topicPrefix: string,
  replication: number,
): { name: string; partitions: number; replication: number; config: Record<string, string> }[] =>
  ALL_TOPICS.map((topic) => ({
    name: `${topicPrefix}${topic.name}`,
    partitions: topic.partitions,
    replication,
    config: topicConfiguration(topic),
  }))
