/** Waiting until published records are applied: the engine's own positions in Postgres say so (ingest_offsets). */
import { setTimeout as sleep } from 'node:timers/promises'
import { UnreachableError } from '#platform/errors.ts'
import type { RecordPosition } from '#platform/kafka/producer.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { readAppliedOffsets } from '#platform/postgres/queries/read-applied-offsets.ts'

export interface WaitOptions {
  readonly pool: ReadPool
  readonly clusterId: string
  /** Of the broker's topic names; positions in Postgres are without it. */
  readonly topicPrefix: string
  /** How long nothing may move before waiting ends with an error; a long backlog that moves is waited for. */
  readonly idleTimeoutMs: number
  readonly signal?: AbortSignal | undefined
  /** Told how many records are still missing, each time it changes. */
  readonly onRemaining?: ((remaining: bigint) => void) | undefined
}

const POLL_FIRST_MS = 20
const POLL_MAX_MS = 250

/** Keeps only the last record of each partition. */
export function lastPositions(positions: Iterable<RecordPosition>): Map<string, RecordPosition> {
  const last = new Map<string, RecordPosition>()
  for (const position of positions) noteLast(last, position)
  return last
}

/** Adds a position to such a map, so that millions of them need not be kept. */
export function noteLast(last: Map<string, RecordPosition>, position: RecordPosition): void {
  const key = `${position.topic}:${position.partition}`
  const known = last.get(key)
  if (known === undefined || known.offset < position.offset) last.set(key, position)
}

/**
 * Waits until the last of the given positions is applied in each partition.
 * @throws UnreachableError `engine_unreachable` where no position moved for `idleTimeoutMs`: no processor runs, or it stopped
 */
export async function waitUntilApplied(
  positions: Iterable<RecordPosition>,
  options: WaitOptions,
): Promise<void> {
  const awaited = lastPositions(positions)
  let remaining = -1n
  let movedAtMs = performance.now()
  let pollMs = POLL_FIRST_MS
  for (;;) {
    options.signal?.throwIfAborted()
    const missing = await missingRecords([...awaited.values()], options)
    if (missing === 0n) return
    if (missing !== remaining) {
      remaining = missing
      movedAtMs = performance.now()
      options.onRemaining?.(missing)
    } else if (performance.now() - movedAtMs > options.idleTimeoutMs) {
      throw new UnreachableError(
        'engine',
        `${missing} published records are not applied and nothing moved for ${options.idleTimeoutMs} ms; is a processor running (npx tallystream run)?`,
      )
    }
    await sleep(pollMs, undefined, options.signal === undefined ? {} : { signal: options.signal })
    pollMs = Math.min(pollMs * 1.5, POLL_MAX_MS)
  }
}

async function missingRecords(awaited: readonly RecordPosition[], options: WaitOptions): Promise<bigint> {
  const next = await readAppliedOffsets(options.pool, options.clusterId)
  let missing = 0n
  for (const { topic, partition, offset } of awaited) {
    const name = topic.startsWith(options.topicPrefix) ? topic.slice(options.topicPrefix.length) : topic
    const applied = next.get(`${name}:${partition}`) ?? 0n
    if (applied <= offset) missing += offset + 1n - applied
  }
  return missing
}
