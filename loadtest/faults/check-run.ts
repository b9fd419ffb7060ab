/** Everything that is checked once a ledger stands still: topic, tables and outputs, by code that the engine doesn't share. */
import type { Configuration } from '#platform/config/configuration.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { RegistryReader } from './checks/avro-reader.ts'
import { checkChain } from './checks/check-chain.ts'
import { HistoryCheck } from './checks/check-history.ts'
import { checkOutputs, outputSources } from './checks/check-outputs.ts'
import { type InputLog, readInputs } from './checks/input-log.ts'
import {
  readAccounts,
  readHead,
  readHistory,
  readPositions,
  readRules,
  readStoredBatches,
} from './checks/stored-ledger.ts'
import { type OffsetChange, readCommitLog } from './commit-log.ts'
import type { Findings } from './findings.ts'
import type { Load } from './load.ts'

export interface StoredCheckOptions {
  readonly configuration: Configuration
  readonly pool: ReadPool
  readonly load: Pick<Load, 'acknowledged'>
  /** Where each partition must be read to, by `topic:partition`. */
  readonly ends: ReadonlyMap<string, bigint>
  /** What the history starts from. */
  readonly genesisHash: Buffer
  /** Whether the offset rows were watched (see commit-log.ts). */
  readonly isWatched: boolean
  /** The topic as read before; read now where absent. */
  readonly inputs?: InputLog
}

export interface StoredCheck {
  readonly inputs: InputLog
  /** Decisions by status. */
  readonly decisions: Readonly<Record<string, number>>
  readonly deadLetters: number
  readonly batches: bigint
  /** What all balances of a currency sum to, minor units. */
  readonly sumDrift: Readonly<Record<string, bigint>>
  readonly changes: readonly OffsetChange[]
}

/** The engines must have ended: what is read isn't one snapshot. */
export const checkStored = async (findings: Findings, options: StoredCheckOptions): Promise<StoredCheck> => {
  const { configuration, pool } = options
  const registry = new RegistryReader(configuration.schemaRegistry.url)
  const inputs =
    options.inputs ??
    (await readInputs(findings, configuration, { registry, acknowledged: options.load.acknowledged }))
  const stored = await checkTables(findings, { ...options, inputs })
  await checkOutputs(findings, outputSources(configuration, registry, stored.history.outputs), {
    expected: stored.history.outputs,
    accounts: await readAccounts(pool),
  })
  const { history, ...rest } = stored
  return { ...rest, inputs, decisions: history.counts, deadLetters: history.deadLetters }
}

/** The part of it that Postgres alone answers, given the topic. */
export const checkTables = async (
  findings: Findings,
  options: StoredCheckOptions & { inputs: InputLog },
): Promise<Pick<StoredCheck, 'batches' | 'sumDrift' | 'changes'> & { history: HistoryCheck }> => {
  const { pool, inputs } = options
  const positions = await readPositions(pool)
  for (const [place, end] of options.ends) {
    const isRead = (positions.get(place) ?? 0n) >= end
    findings.check(
      'every partition is read to its end',
      isRead,
      () => `${place}: ${positions.get(place)} of ${end}`,
    )
  }
  const history = new HistoryCheck(findings, inputs)
  for await (const part of readHistory(pool)) history.take(part)
  const sumDrift = history.finish(await readAccounts(pool), await readRules(pool))
  const changes = options.isWatched ? await readCommitLog(pool) : []
  const head = await readHead(pool)
  await checkChain(findings, {
    genesisHash: options.genesisHash,
    batches: readStoredBatches(pool),
    head,
    positions,
    onBatch: (batch) => history.outputs.addBatch(batch),
    ...(options.isWatched ? { changes } : {}),
  })
  return { history, batches: head.sequence, sumDrift, changes }
}
