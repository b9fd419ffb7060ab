/** Fills the balance cache anew from Postgres while everything goes on: a new generation, then all accounts in key order. */
import { randomBytes } from 'node:crypto'
import { OperatingError } from '#platform/errors.ts'
import { type AccountBalance, encodeBalance } from '#platform/redis/balance-value.ts'
import { CacheKeys, newGeneration } from '#platform/redis/cache-keys.ts'
import { runCacheScript } from '#platform/redis/cache-scripts.ts'
import type { RedisClient } from '#platform/redis/client.ts'

export interface RebuildOptions {
  /** Put before every key, `<ledger>:`. */
  keyPrefix: string
  /** The ledger's head in Postgres, read before the rebuild begins. */
  head: { timeline: bigint; sequence: bigint; recordedAtMs: number }
  /** The next `limit` account ids above `afterAccountId`, in key order. */
  readAccountIds: (afterAccountId: string, limit: number) => Promise<string[]>
  /** Balances of these accounts as Postgres' writer has them now. */
  readBalances: (accountIds: readonly string[]) => Promise<AccountBalance[]>
  pageSize?: number
  leaseMs?: number
  balanceLifeMs?: number
  onProgress?: (progress: RebuildResult) => void
}

export interface RebuildResult {
  /** Accounts read. */
  accounts: number
  /** Accounts put into the cache; the others were changed or asked for meanwhile, so somebody else fills them. */
  planted: number
}

const DAY_MS = 86_400_000

/**
 * Rebuilds the cache; memory stays bounded by a page. Until the publisher takes up the new generation (its next batch or mark),
 * readers use Postgres.
 *
 * @throws OperatingError `cache_superseded` where Redis holds the cache of a later timeline, `cache_rebuild_overtaken` where
 *   another generation began meanwhile. What Redis or Postgres throw passes through.
 */
export async function rebuildCache(client: RedisClient, options: RebuildOptions): Promise<RebuildResult> {
  const keys = new CacheKeys(options.keyPrefix)
  const { head } = options
  const pageSize = options.pageSize ?? 500
  const generation = newGeneration(head.timeline)
  const token = randomBytes(9).toString('base64url')
  const renewal = await runCacheScript(
    client,
    'balanceRenew',
    [keys.state, keys.fresh],
    [...[generation, String(head.timeline), String(head.sequence), String(head.recordedAtMs), '0', '1']],
  )
  if (renewal[0] !== 'ok') {
    throw new OperatingError('cache_superseded', 'Redis holds the cache of a later timeline of this ledger')
  }
  const result: RebuildResult = { accounts: 0, planted: 0 }
  for (let last = ''; ; ) {
    const accountIds = await options.readAccountIds(last, pageSize)
    if (accountIds.length === 0) return result
    last = accountIds.at(-1) ?? ''
    await takeLeases(
      client,
      accountIds.map((id) => keys.lease(generation, id)),
      token,
      options.leaseMs ?? 5000,
    )
    const balances = await options.readBalances(accountIds)
    const [word, planted] = await runCacheScript(
      client,
      'balanceSettle',
      [
        keys.state,
        ...keys.pairs(
          generation,
          balances.map((balance) => balance.accountId),
        ),
      ],
      [generation, token, String(options.balanceLifeMs ?? DAY_MS), ...balances.map(encodeBalance)],
    )
    result.accounts += accountIds.length
    if (word !== 'ok') throw overtaken()
    result.planted += Number(planted)
    options.onProgress?.(result)
  }
}

async function takeLeases(
  client: RedisClient,
  leaseKeys: readonly string[],
  token: string,
  leaseMs: number,
): Promise<void> {
  const pipeline = client.pipeline()
  for (const key of leaseKeys) pipeline.set(key, `${token}|0|0`, 'PX', leaseMs, 'NX')
  const answers = (await pipeline.exec()) ?? []
  const failed = answers.find(([error]) => error !== null)
  if (failed !== undefined) throw failed[0]
}

function overtaken(): OperatingError {
  return new OperatingError(
    'cache_rebuild_overtaken',
    'Another generation of the cache began during the rebuild (a flush, another rebuild, or a failure of the publisher); run it again',
    { retriable: true },
  )
}
