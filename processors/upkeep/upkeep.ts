/**
 * Keeps the tables in order beside the flow: makes the partitions of the coming months, closes complete periods, drops old ones
 * where that is configured, and deletes forgotten ids and parties of fraud rules. Any number of engines may do it: who comes second does nothing.
 */
import { OperatingError } from '#platform/errors.ts'
import type { EnginePool } from '#platform/postgres/engine-pool.ts'
import { createPartitionsAhead } from '#platform/postgres/migrate.ts'
import { closePeriods } from '#platform/postgres/periods/close.ts'
import { dropPeriods } from '#platform/postgres/periods/drop.ts'
import { pruneParties } from '#platform/postgres/periods/prune-parties.ts'
import { pruneIds } from '#platform/postgres/periods/prune-ids.ts'

export interface UpkeepLogger {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface UpkeepOptions {
  /** A pool of its own: closing takes longer than the flow may. */
  readonly pool: EnginePool
  readonly actor: string
  /** Whole months before the current one that stay; null = nothing is dropped. */
  readonly keepMonths: number | null
  readonly withoutArchive: boolean
  readonly everyMs: number
  readonly logger: UpkeepLogger
  /** A closing found what may not be: a person must look. */
  readonly onFinding: () => void
}

/** Periods that one round closes at most: what is left goes on in the next. */
const PERIODS_A_ROUND = 24
const STOP_WAIT_MS = 2_000

export class Upkeep {
  private readonly options: UpkeepOptions
  private readonly stopping = new AbortController()
  private timer: NodeJS.Timeout | null = null
  private round: Promise<void> = Promise.resolve()

  constructor(options: UpkeepOptions) {
    this.options = options
  }

  /** Does a round now and then one each interval. */
  start(): void {
    const run = () => {
      this.round = this.round.then(() => this.run())
    }
    run()
    this.timer = setInterval(run, this.options.everyMs)
  }

  /** Lets the step under way end, but not for long: what is cut short is done again another time. */
  async stop(): Promise<void> {
    if (this.timer !== null) clearInterval(this.timer)
    this.stopping.abort()
    await Promise.race([this.round, new Promise((resolve) => setTimeout(resolve, STOP_WAIT_MS).unref())])
  }

  /** One round; never throws. */
  async run(): Promise<void> {
    const { pool } = this.options
    await this.step('partitions of the coming months', () => createPartitionsAhead(pool))
    await this.step('closing of periods', () => this.close())
    await this.step('dropping of old periods', () => this.drop())
    await this.step('deletion of forgotten ids', () => this.prune())
    await this.step('deletion of forgotten parties', () => this.pruneParties())
  }

  private async step(what: string, work: () => Promise<void>): Promise<void> {
    if (this.stopping.signal.aborted) return
    try {
      await work()
    } catch (error) {
      if (this.stopping.signal.aborted) return
      if (error instanceof OperatingError && error.code === 'periods_busy') return
      this.options.logger.warn({ err: error }, `${what}: not done, tried again in the next round`)
    }
  }

  private async close(): Promise<void> {
    const { pool, actor, logger } = this.options
    const { signal } = this.stopping
    const { closed, findings } = await closePeriods(pool, { actor, signal, periodsMax: PERIODS_A_ROUND })
    for (const { period, accounts, postings } of closed) {
      logger.info({ period, accounts, postings: String(postings) }, 'period closed')
    }
    for (const finding of findings) logger.error({ finding }, 'a period cannot be closed')
    if (findings.length > 0) this.options.onFinding()
  }

  private async drop(): Promise<void> {
    const { pool, actor, keepMonths, withoutArchive, logger } = this.options
    if (keepMonths === null) return
    const { signal } = this.stopping
    const { dropped, kept } = await dropPeriods(pool, { actor, keepMonths, withoutArchive, signal })
    for (const period of dropped) logger.info({ period }, 'period dropped')
    if (kept !== null) logger.warn({ kept }, 'an old period must stay for now')
  }

  private async prune(): Promise<void> {
    const { deleted } = await pruneIds(this.options.pool, { signal: this.stopping.signal })
    if (deleted > 0) this.options.logger.info({ deleted }, 'forgotten ids deleted')
  }

  private async pruneParties(): Promise<void> {
    const deleted = await pruneParties(this.options.pool, { signal: this.stopping.signal })
    if (deleted > 0) this.options.logger.info({ deleted }, 'forgotten parties deleted')
  }
}
