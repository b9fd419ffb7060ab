/** A fresh ledger for a run or a scenario, and the questions asked of it while it works. */

import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { LOGIC_VERSION } from '#domain/ledger/state.ts'
import { runOrFail } from '#infra/local/programs.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import { migrateLedger } from '#platform/postgres/migrate.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { readPositions } from './checks/stored-ledger.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const BIN = fileURLToPath(new URL('../../cli/bin/tallystream.mjs', import.meta.url))
const LOOK_EVERY_MS = 50

/** Tables, topics and schemas of a ledger that nothing has happened to. */
export const makeLedger = async (configuration: Configuration): Promise<void> => {
  const { ledger, kafka, schemaRegistry, postgres, redis } = configuration
  await Promise.all([
    migrateLedger(postgres, { ledger: ledger.name, nowMs: Date.now(), logicVersion: LOGIC_VERSION }),
    runOrFail(process.execPath, [BIN, 'topics', 'apply'], {
      timeoutMs: 60_000,
      workingFolder: ROOT,
      environment: {
        LEDGER: ledger.name,
        KAFKA_BROKERS: kafka.brokers.join(','),
        SCHEMA_REGISTRY_URL: schemaRegistry.url,
        DATABASE_URL: postgres.url,
        REDIS_URL: redis.url,
      },
    }),
  ])
}

/** Whether every partition was read to these ends, by `topic:partition`. False also where Postgres doesn't answer. */
export const isReadTo = async (pool: ReadPool, ends: ReadonlyMap<string, bigint>): Promise<boolean> => {
  const positions = await readPositions(pool).catch(() => new Map<string, bigint>())
  return [...ends].every(([place, end]) => (positions.get(place) ?? 0n) >= end)
}

/** Whether it was read to these ends, and published at least up to the last transaction. */
export const isDrained = async (pool: ReadPool, ends: ReadonlyMap<string, bigint>): Promise<boolean> => {
  if (!(await isReadTo(pool, ends))) return false
  const [row] = await pool
    .query<{ isPublished: boolean }>({
      text: `select (select published_sequence from publisher_progress) >=
        greatest((select coalesce(max(sequence), 0) from transactions), (select coalesce(max(sequence), 0) from dead_letters))
        as "isPublished"`,
    })
    .catch(() => [])
  return row?.isPublished === true
}

/** Waits for a condition. @returns whether it came in time */
export const waitFor = async (
  holds: () => Promise<boolean> | boolean,
  timeoutMs: number,
): Promise<boolean> => {
  const deadline = performance.now() + timeoutMs
  while (!(await holds())) {
    if (performance.now() > deadline) return false
    await sleep(LOOK_EVERY_MS)
  }
  return true
}
