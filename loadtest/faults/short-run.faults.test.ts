/** Nothing lost, nothing twice: the short form of a fault run. And then the real tables are damaged, to see that it shows. */
import { beforeAll, describe, expect, test } from 'vitest'
import { type EnginePool, makeEnginePool } from '#platform/postgres/engine-pool.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { closeRedis, openRedis } from '#platform/redis/client.ts'
import { checkTables, type StoredCheck, type StoredCheckOptions } from './check-run.ts'
import { balancePrefix, checkCacheKeys } from './checks/check-cache.ts'
import type { Category } from './checks/rules.ts'
import { faultsDataDir, removeLeftovers } from './data-folder.ts'
import { runFaults } from './fault-run.ts'
import { Findings } from './findings.ts'
import { type FaultReport, hasPassed, reportText, summaryJson } from './report.ts'

const SEED = 20_261
const TRANSACTIONS = 20_000
const FAULTS = 20

interface Damage {
  readonly name: string
  readonly category: Category
  readonly sql: string
}

/** Each in a transaction that is rolled back. */
const DAMAGES: readonly Damage[] = [
  {
    name: 'a decision deleted',
    category: 'lost',
    sql: `delete from transactions where (sequence, index) = (select sequence, index from transactions order by sequence, index limit 1)`,
  },
  {
    name: 'a decision written twice',
    category: 'duplicated',
    sql: `insert into transactions select (jsonb_populate_record(t, jsonb_build_object('index', 900000))).*
      from transactions as t order by sequence, index limit 1`,
  },
  {
    name: 'a balance changed',
    category: 'fold_mismatches',
    sql: `update accounts set posted = posted + 1 where account_no = (select min(account_no) from accounts)`,
  },
  {
    name: 'a posting changed',
    category: 'fold_mismatches',
    sql: `update postings set amount = amount + 1 where (sequence, index, posting) = (select sequence, index, posting from postings order by 1, 2, 3 limit 1)`,
  },
  {
    name: 'a refused payment turned into one that was applied',
    category: 'limits_broken',
    sql: `update transactions set status = (select code from codes where list = 'status' and word = 'applied')
      where (sequence, index) = (select sequence, index from transactions where reason =
        (select code from codes where list = 'reason' and word = 'insufficient_funds') order by sequence, index limit 1)`,
  },
  {
    name: "an account's limit changed",
    category: 'unaccounted',
    sql: `update accounts set overdraft_limit = overdraft_limit + 1 where account_no = (select min(account_no) from accounts where limited)`,
  },
  {
    name: "a rule's threshold changed",
    category: 'unaccounted',
    sql: `update rules set body = jsonb_set(body, '{threshold}', '"1"') where (rule_id, version, index) =
      (select rule_id, version, index from rules order by version, index limit 1)`,
  },
  {
    name: 'a review deleted',
    category: 'fold_mismatches',
    sql: `delete from transactions where (sequence, index) = (select sequence, index from transactions where topic = 'reviews'
      and status = (select code from codes where list = 'status' and word = 'declined') order by sequence, index limit 1)`,
  },
  {
    name: 'a batch deleted',
    category: 'unaccounted',
    sql: `delete from batches where sequence = 5`,
  },
  {
    name: 'an offset that went back',
    category: 'offset_regressions',
    sql: `insert into fault_watch.offset_changes (topic, partition, old_next, next, old_epoch, epoch, owner)
      select topic, partition, next, next - 1, epoch, epoch, owner from fault_watch.offset_changes
      where topic = 'transactions' and partition = 0 order by number desc limit 1`,
  },
  {
    name: 'a commit under another epoch',
    category: 'old_epoch_commits',
    sql: `update fault_watch.offset_changes set epoch = epoch + 1, old_epoch = old_epoch + 1 where number =
      (select max(number) from fault_watch.offset_changes where topic = 'transactions' and next > old_next)`,
  },
]

let report: FaultReport
/** How much was wrong, by the name of the damage. */
const found = new Map<string, number>()

beforeAll(async () => {
  const say = (message: string) => void process.stderr.write(`${message}\n`)
  await removeLeftovers(say)
  report = await runFaults({
    seed: SEED,
    transactions: TRANSACTIONS,
    faults: FAULTS,
    dataDir: faultsDataDir(),
    onProgress: say,
    inspect: plantDamages,
  })
  say(reportText(report))
})

const plantDamages = async (checked: { options: StoredCheckOptions; stored: StoredCheck }): Promise<void> => {
  const { postgres } = checked.options.configuration
  const pool = makeEnginePool(postgres, { applicationName: 'damage', connectionsMax: 2 })
  try {
    for (const damage of DAMAGES) found.set(damage.name, await damaged(pool, damage, checked))
  } finally {
    await pool.end()
  }
  found.set('a balance changed in Redis', await damagedCache(checked.options))
}

/** Damages the tables, checks them within the same transaction, and takes it back. @returns how much is wrong in its category */
const damaged = async (
  pool: EnginePool,
  { category, sql }: Damage,
  { options, stored }: { options: StoredCheckOptions; stored: StoredCheck },
): Promise<number> => {
  const client = await pool.connect()
  try {
    const { schema } = options.configuration.postgres
    await client.query('begin')
    await client.query(
      `set local session_replication_role = replica; set local search_path = ${schema}, public`,
    )
    const { rowCount } = await client.query(sql)
    expect(rowCount, sql).toBeGreaterThan(0)
    const inTransaction: ReadPool = {
      query: async <Row>({ text }: { text: string }, values: readonly unknown[] = []) =>
        (await client.query(text, [...values])).rows as Row[],
      close: async () => undefined,
      load: () => ({ connections: 1, waiting: 0 }),
    }
    const findings = new Findings()
    await checkTables(findings, { ...options, pool: inTransaction, inputs: stored.inputs })
    return findings.wrongIn(category)
  } finally {
    await client.query('rollback')
    client.release()
  }
}

const damagedCache = async ({ configuration, pool }: StoredCheckOptions): Promise<number> => {
  const redis = openRedis({ url: configuration.redis.url, connectionName: 'damage', commandTimeoutMs: 5_000 })
  try {
    await new Promise((resolve) => redis.once('ready', resolve))
    const prefix = await balancePrefix(configuration, redis)
    const [row] = await pool.query<{ id: string }>({ text: 'select account_id as id from accounts limit 1' })
    await redis.set(`${prefix}${row?.id}`, '1|1|123456|0|0')
    const findings = new Findings()
    await checkCacheKeys(findings, { configuration, pool, redis })
    return findings.wrongIn('redis_mismatches')
  } finally {
    closeRedis(redis)
  }
}

describe('processes, services and connections broken under load', () => {
  test('nothing is lost, nothing is there twice, and every rule was looked at', () => {
    const wrong = report.findings.all.filter(({ examined, wrong }) => examined === 0 || wrong > 0)
    expect(wrong).toEqual([])
    expect(hasPassed(report)).toBe(true)
  })

  test('the object for machines says so, in exactly its fields', () => {
    expect(summaryJson(report)).toEqual({
      seed: SEED,
      transactions: TRANSACTIONS,
      faults: FAULTS,
      ...{ lost: 0, duplicated: 0, unaccounted: 0 },
      sum_drift: { EUR: '0', USD: '0', JPY: '0' },
      ...{ fold_mismatches: 0, redis_mismatches: 0, outputs_missing: 0, outputs_repeated: 0 },
      ...{ order_violations: 0, offset_regressions: 0, old_epoch_commits: 0, limits_broken: 0 },
      takeover_ms: report.takeover,
    })
    expect(report.takeoverOfAll.samples).toBeGreaterThan(0)
  })

  test.each([...DAMAGES, { name: 'a balance changed in Redis' }])('$name shows', ({ name }) => {
    expect(found.get(name)).toBeGreaterThan(0)
  })
})
