/** What the API needs from outside, handed in by whoever builds it: nothing here opens a connection or reads the environment. */
import type { AlertFeed } from '#api/gateway/alert-feed.ts'
import type { DecisionReader } from '#api/gateway/decision-reader.ts'
import type { IngestGateway } from '#api/gateway/ingest-gateway.ts'
import type { OutcomeWaiter } from '#api/gateway/outcome-waiter.ts'
import type { PositionWaiter } from '#api/gateway/position-waiter.ts'
import type { Logger } from '#platform/observability/logger.ts'
import type { ApiMetrics } from '#platform/observability/metrics.ts'
import type { AuditLogBuffer } from '#platform/postgres/audit-log-buffer.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import type { LogPosition } from '#platform/postgres/queries/read-applied-offsets.ts'
import type { Work, WorkOutcome } from '#platform/postgres/review-work.ts'
import type { BalanceCacheReader } from '#platform/redis/balance-cache-reader.ts'

export interface ApiOptions {
  /** Currency of requests that name none (three capital letters). */
  readonly compatibilityCurrency: string
  /** What pays `{user_id, amount}` requests. */
  readonly compatibilitySourceAccount: string
  /** Whether accounts that a flat request names are opened when unknown. */
  readonly openAccounts: boolean
  /** How long calls that always wait do so. */
  readonly defaultWaitMs: number
  /** Upper bound of `Prefer: wait`. */
  readonly waitMaxMs: number
  readonly bodyBytesMax: number
  /** Beyond this age of the ledger's clock the engine is said to stand still. */
  readonly engineStaleMs: number
}

export const defaultApiOptions: ApiOptions = {
  compatibilityCurrency: 'USD',
  compatibilitySourceAccount: 'external:funding',
  openAccounts: false,
  defaultWaitMs: 10_000,
  waitMaxMs: 30_000,
  bodyBytesMax: 64 * 1024,
  engineStaleMs: 15_000,
}

export interface ApiDependencies {
  readonly pool: ReadPool
  readonly cache: Pick<BalanceCacheReader, 'read' | 'expireOlder'>
  readonly gateway: IngestGateway
  readonly outcomes: OutcomeWaiter
  readonly positions: PositionWaiter
  readonly metrics: ApiMetrics
  readonly logger: Logger
  readonly options: ApiOptions
  /** Whether brokers and Redis answer now. Must settle within about a second and never throw. */
  readonly checks: { kafka(): Promise<boolean>; redis(): Promise<boolean> }
  /** Reads what the batch records say about decisions. */
  readonly readDecisions: DecisionReader
  readonly readAlerts: AlertFeed
  /**
   * Why an applied record took no effect, as a reason code; null where it did, or where that can't be read now.
   *
   * @param afterSequence The ledger's sequence before the record was published.
   */
  readonly readRefusal: (position: LogPosition, afterSequence: bigint) => Promise<string | null>
  /** Where access is noted; must return at once and never throw. */
  readonly audit: Pick<AuditLogBuffer, 'note'>
  /** Notes who works on a held transaction. */
  readonly doReviewWork: (work: Work) => Promise<WorkOutcome>
  /** The wall clock, ms since 1970 UTC. */
  readonly nowMs: () => number
}
