/** Is Redis what Postgres is? By its keys, read as they are, and by what a client gets. */
import type { Configuration } from '#platform/config/configuration.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import type { RedisClient } from '#platform/redis/client.ts'
import type { BalanceWatch } from '../balance-watch.ts'
import type { Findings } from '../findings.ts'

/** While nothing is being applied, and while a publisher lives: without one nobody believes the cache. */
export const checkCache = async (
  findings: Findings,
  options: { configuration: Configuration; pool: ReadPool; watch: BalanceWatch },
): Promise<void> => {
  const { watch } = options
  const rows = await checkCacheKeys(findings, { ...options, redis: watch.redis })
  for (const { id, posted } of rows) {
    await watch.reader.read(id)
    const answer = await watch.reader.read(id)
    findings.same('clients get the balance of Postgres', id, posted, answer?.balance.posted)
    findings.same('clients get it from Redis', id, true, answer?.cached)
  }
}

interface Row {
  readonly id: string
  readonly posted: bigint
  readonly version: bigint
}

/** Compares the keys that are there, as they are. @returns all accounts as Postgres has them */
export const checkCacheKeys = async (
  findings: Findings,
  options: { configuration: Configuration; pool: ReadPool; redis: RedisClient },
): Promise<readonly Row[]> => {
  const rows = await options.pool.query<Row>({
    text: 'select account_id as id, posted, version from accounts',
  })
  const present = await keysOf(options)
  findings.expectRule('balance keys in Redis = Postgres')
  for (const { id, posted, version } of rows) {
    const text = present.get(id)
    if (text === undefined) continue
    findings.same('balance keys in Redis = Postgres', id, `${version} ${posted}`, text)
  }
  return rows
}

/** Account → version and balance, of the generation that is valid now. */
const keysOf = async ({
  configuration,
  redis,
}: {
  configuration: Configuration
  redis: RedisClient
}): Promise<Map<string, string>> => {
  const prefix = await balancePrefix(configuration, redis)
  const found = new Map<string, string>()
  let cursor = '0'
  do {
    const [next, keys] = await redis.scan(cursor, 'MATCH', `${prefix}*`, 'COUNT', 1_000)
    cursor = next
    for (const key of keys) {
      const [, version, posted] = ((await redis.get(key)) ?? '').split('|')
      found.set(key.slice(prefix.length), `${version} ${posted}`)
    }
  } while (cursor !== '0')
  return found
}

/** What stands in front of an account's id in the key of its balance. */
export const balancePrefix = async (configuration: Configuration, redis: RedisClient): Promise<string> => {
  const base = `${configuration.ledger.name}:{${configuration.ledger.name}}:`
  const generation = (await redis.get(`${base}state`))?.split('|')[0]
  return `${base}b:${generation}:`
}
