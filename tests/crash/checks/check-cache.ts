/** Is Redis what Postgres is? By its keys, read as they are, and by what a client gets. */
import type { Configuration } from '#platform/config/configuration.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import type { BalanceWatch } from '../balance-watch.ts'
import type { Findings } from '../findings.ts'

/** While nothing is being applied, and while a publisher lives: without one nobody believes the cache. */
export const checkCache = async (
  findings: Findings,
  options: { configuration: Configuration; pool: ReadPool; watch: BalanceWatch },
): Promise<void> => {
  const { pool, watch } = options
  const rows = await pool.query<{ id: string; posted: bigint; version: bigint }>({
    text: 'select account_id as id, posted, version from accounts',
  })
  const present = await keysOf(options)
  for (const { id, posted, version } of rows) {
    const text = present.get(id)
    if (text !== undefined)
      findings.same('balance keys in Redis = Postgres', id, `${version} ${posted}`, text)
  }
  findings.expectRule('balance keys in Redis = Postgres')
  for (const { id, posted } of rows) {
    await watch.reader.read(id)
    const answer = await watch.reader.read(id)
    findings.same('clients get the balance of Postgres', id, posted, answer?.balance.posted)
    findings.same('clients get it from Redis', id, true, answer?.cached)
  }
}

/** Account → version and balance, of the generation that is valid now. */
const keysOf = async ({
  configuration,
  watch,
}: {
  configuration: Configuration
  watch: BalanceWatch
}): Promise<Map<string, string>> => {
  const base = `${configuration.ledger.name}:{${configuration.ledger.name}}:`
  const generation = (await watch.redis.get(`${base}state`))?.split('|')[0]
  const prefix = `${base}b:${generation}:`
  const found = new Map<string, string>()
  let cursor = '0'
  do {
    const [next, keys] = await watch.redis.scan(cursor, 'MATCH', `${prefix}*`, 'COUNT', 1_000)
    cursor = next
    for (const key of keys) {
      const [, version, posted] = ((await watch.redis.get(key)) ?? '').split('|')
      found.set(key.slice(prefix.length), `${version} ${posted}`)
    }
  } while (cursor !== '0')
  return found
}
