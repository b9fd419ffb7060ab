/** What commands that publish many records share: a publisher and a reading pool, opened when first needed and closed with the command. */
import type { CommandContext } from '#cli/command.ts'
import { loadConfiguration } from '#cli/configuration.ts'
import { CONNECT_TIMEOUT_MS, requireTopics } from '#cli/ledger-client.ts'
import { waitUntilApplied } from '#connectors/ingest/applied.ts'
import { IngestPublisher } from '#connectors/ingest/publisher.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import { makeKafka } from '#platform/kafka/client.ts'
import type { RecordPosition } from '#platform/kafka/producer.ts'
import { makePool, type ReadPool } from '#platform/postgres/pool.ts'
import { requireProgress } from '#platform/postgres/queries/read-progress.ts'
import { SchemaRegistry } from '#platform/schema-registry/registry.ts'

/** How long nothing may move before a command gives up waiting for its records to be applied. */
const IDLE_TIMEOUT_MS = 30_000
/** Comparing a whole run takes longer than an API's reads. */
const STATEMENT_TIMEOUT_MS = 120_000
const PROGRESS_EVERY_MS = 2_000

export class BulkClient {
  readonly configuration: Configuration
  readonly #context: CommandContext
  #pool: ReadPool | undefined
  #publisher: Promise<IngestPublisher> | undefined

  constructor(context: CommandContext, configuration = loadConfiguration()) {
    this.#context = context
    this.configuration = configuration
  }

  get pool(): ReadPool {
    if (this.#pool === undefined) {
      const pool = makePool({
        ...this.configuration.postgres,
        applicationName: 'tallystream-cli',
        connectionsMax: 2,
        connectTimeoutMs: CONNECT_TIMEOUT_MS,
        statementTimeoutMs: STATEMENT_TIMEOUT_MS,
      })
      this.#pool = pool
      this.#context.onClose(() => pool.close())
    }
    return this.#pool
  }

  /** Errors as IngestPublisher.open; ConfigurationError where tables or topics are missing. */
  publisher(): Promise<IngestPublisher> {
    this.#publisher ??= this.#openPublisher()
    return this.#publisher
  }

  /** Waits until the records are applied; what is left is shown from time to time. Errors as waitUntilApplied. */
  awaitApplied(positions: Iterable<RecordPosition>): Promise<void> {
    const { ledger } = this.configuration
    let shownAtMs = performance.now()
    return waitUntilApplied(positions, {
      pool: this.pool,
      clusterId: ledger.clusterId,
      topicPrefix: ledger.topicPrefix,
      idleTimeoutMs: IDLE_TIMEOUT_MS,
      signal: this.#context.signal,
      onRemaining: (remaining) => {
        if (performance.now() - shownAtMs < PROGRESS_EVERY_MS) return
        shownAtMs = performance.now()
        this.#context.progress(`${remaining} records not applied yet`)
      },
    })
  }

  /** The ledger's own time: the last applied tick, ms. @throws ConfigurationError before `migrate` */
  async ledgerTimeMs(): Promise<number> {
    return (await requireProgress(this.pool, this.configuration.ledger.name)).tickMs
  }

  async #openPublisher(): Promise<IngestPublisher> {
    const { schemaRegistry, ledger } = this.configuration
    const kafka = makeKafka(this.configuration.kafka, { clientId: 'tallystream-cli' })
    // In the order in which they are made, so that the first that is missing is the one that is named.
    await requireProgress(this.pool, ledger.name)
    await requireTopics(kafka, ledger.topicPrefix)
    const publisher = await IngestPublisher.open({
      kafka,
      registry: new SchemaRegistry(schemaRegistry),
      topicPrefix: ledger.topicPrefix,
    })
    this.#context.onClose(() => publisher.close())
    return publisher
  }
}
