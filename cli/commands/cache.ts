/** `cache rebuild`: fills the balance cache anew from Postgres, while everything goes on. */
import type { Command } from 'commander'
import { addCommand } from '#cli/command.ts'
import { loadConfiguration } from '#cli/configuration.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import { OperatingError, UnreachableError } from '#platform/errors.ts'
import { makePool } from '#platform/postgres/pool.ts'
import { readAccountIds } from '#platform/postgres/queries/read-account-ids.ts'
import { readBalances } from '#platform/postgres/queries/read-balances.ts'
import { requireProgress } from '#platform/postgres/queries/read-progress.ts'
import { closeRedis, openRedis, untilRedisReady } from '#platform/redis/client.ts'
import { type RebuildResult, rebuildCache } from '#platform/redis/rebuild-cache.ts'

const REDIS_TIMEOUT_MS = 5000

/**
 * Rebuilds the cache of the configured ledger.
 *
 * @throws UnreachableError where Postgres or Redis doesn't answer; ConfigurationError before `migrate`; what
 *   rebuildCache throws.
 */
export async function rebuildLedgerCache(
  configuration: Configuration,
  onProgress: (progress: RebuildResult) => void = () => {},
): Promise<RebuildResult> {
  const { postgres, redis } = configuration
  const pool = makePool({ ...postgres, applicationName: 'tallystream cache', connectionsMax: 2 })
  const client = openRedis({
    url: redis.url,
    sslCa: redis.sslCa,
    connectionName: 'tallystream-cache',
    commandTimeoutMs: REDIS_TIMEOUT_MS,
  })
  try {
    await untilRedisReady(client, REDIS_TIMEOUT_MS)
    const progress = await requireProgress(pool, configuration.ledger.name)
    return await rebuildCache(client, {
      keyPrefix: redis.keyPrefix,
      head: { timeline: progress.timeline, sequence: progress.sequence, recordedAtMs: progress.tickMs },
      readAccountIds: (after, limit) => readAccountIds(pool, after, limit),
      readBalances: (accountIds) => readBalances(pool, accountIds),
      onProgress,
    })
  } catch (error) {
    // The client's own errors say nothing of which service they come from.
    if (error instanceof OperatingError) throw error
    throw new UnreachableError('redis', (error as Error).message, { cause: error })
  } finally {
    closeRedis(client)
    await pool.close()
  }
}

/** Registers `cache` and its subcommand. */
export function registerCache(program: Command): void {
  const cache = program.command('cache').description('the balance cache in Redis')
  addCommand(cache, {
    usage: 'rebuild',
    audited: true,
    summary: 'begin an empty cache and fill it from Postgres; safe while everything runs',
    example: 'cache rebuild',
    run: async (context) => {
      const result = await rebuildLedgerCache(loadConfiguration(), (progress) => {
        if (progress.accounts % 100_000 === 0) context.progress(`${progress.accounts} accounts`)
      })
      return { json: result, text: `${result.accounts} accounts read, ${result.planted} put into the cache` }
    },
  })
}
