/** Starts the upkeep of a ledger as its configuration says. */
import type { Configuration } from '#platform/config/configuration.ts'
import type { EngineMetrics } from '#platform/observability/engine-metrics.ts'
import { makeEnginePool } from '#platform/postgres/engine-pool.ts'
import { Upkeep, type UpkeepLogger } from './upkeep.ts'

const EVERY_MS = 3_600_000
/** Of one slice of a closing, however many entries a hot account has in it. */
const STATEMENT_TIMEOUT_MS = 300_000

export interface StartUpkeepOptions {
  readonly configuration: Configuration
  readonly logger: UpkeepLogger
  readonly metrics: EngineMetrics
  /** Who closes and drops, for the record. */
  readonly holder: string
}

/** On a pool of its own: closing takes longer than the flow may. */
export const startUpkeep = (options: StartUpkeepOptions): { stop(): Promise<void> } => {
  const { configuration, logger, metrics, holder } = options
  const pool = makeEnginePool(configuration.postgres, {
    applicationName: 'tallystream upkeep',
    connectionsMax: 1,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
  })
  const upkeep = new Upkeep({
    pool,
    actor: holder,
    ...configuration.retention,
    everyMs: EVERY_MS,
    logger,
    onFinding: () => metrics.incidents.inc({ code: 'closing_differs' }),
  })
  upkeep.start()
  return {
    stop: async () => {
      await upkeep.stop()
      // Not waited for: a statement that is cut short holds its connection until it notices.
      void pool.end()
    },
  }
}
