/** The state in which a replay begins: the genesis, or a checkpoint that agrees with what is stored. */
import { genesisHash } from '#domain/ledger/genesis.ts'
import { ConfigurationError, OperatingError } from '#platform/errors.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import type { DroppedHistory } from '#platform/postgres/queries/history-start.ts'
import type { HistoryEnds } from '#platform/postgres/queries/read-batch-headers.ts'
import type { BatchSource } from '../batch-source.ts'
import { foldMismatch } from './balances.ts'
import { type CheckpointName, listCheckpoints, readCheckpoint } from './checkpoint.ts'
import { LedgerMemory } from './ledger-memory.ts'

export interface Beginning {
  readonly memory: LedgerMemory
  /** Hash of the batch before the first, or of the genesis. */
  readonly chain: Buffer
  readonly isGenesis: boolean
}

export interface BeginningOptions {
  readonly pool: ReadPool
  readonly batches: BatchSource
  readonly dropped: DroppedHistory | undefined
  readonly ends: HistoryEnds
  /** Where checkpoints are. */
  readonly folder: string
  /** Told why a checkpoint isn't believed. */
  readonly onRefused: (message: string) => void
}

/** The state before the first batch. @throws ConfigurationError where the ledger's beginning was not kept */
export const genesis = ({ ledger, genesis: kept }: HistoryEnds): Beginning => {
  if (kept === null) {
    throw new ConfigurationError(
      'the ledger was made before its beginning was kept: replay can only begin at a checkpoint',
    )
  }
  return {
    memory: new LedgerMemory(kept.tickMs),
    chain: genesisHash({ ledger, ...kept }),
    isGenesis: true,
  }
}

/** The latest state at or before a batch: of the newest checkpoint that can be believed, else the genesis. */
export const latestBeginning = async (options: BeginningOptions, through: bigint): Promise<Beginning> => {
  for (const name of await listCheckpoints(options.folder, options.ends.ledger)) {
    if (BigInt(name.sequence) > through) continue
    const believed = await believe(options, name)
    if (believed !== null) return believed
  }
  return genesis(options.ends)
}

/** A checkpoint is as good as what vouches for it: its own hash, the chain's, and the stored entries. */
const believe = async (options: BeginningOptions, name: CheckpointName): Promise<Beginning | null> => {
  const refused = (why: string): null => {
    options.onRefused(`the checkpoint of batch ${name.sequence} is not used: ${why}`)
    return null
  }
  if (options.dropped !== undefined && BigInt(name.sequence) < options.dropped.sequence) {
    return refused('the entries that vouch for it were dropped with their period')
  }
  const chain = await chainAt(options, BigInt(name.sequence))
  if (chain?.toString('hex') !== name.chain) return refused('its batch has another hash, or is not kept')
  let memory: LedgerMemory
  try {
    memory = await readCheckpoint(options.folder, name)
  } catch (error) {
    if (error instanceof OperatingError && error.code === 'checkpoint_damaged') return refused(error.message)
    throw error
  }
  const account = await foldMismatch(options.pool, memory)
  if (account !== null) return refused(`the balance of ${account.id} is not the sum of its stored entries`)
  return { memory, chain, isGenesis: false }
}

const chainAt = async ({ batches }: BeginningOptions, sequence: bigint): Promise<Buffer | null> => {
  for await (const [batch] of batches.headers(sequence - 1n, sequence)) return batch!.hash
  return null
}
