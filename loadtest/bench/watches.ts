/** Who sees transfers arrive, each in its own way: committed in Postgres, readable for a consumer, visible as a balance over HTTP. */
import { setTimeout as sleep } from 'node:timers/promises'
import { blankCommand } from '#domain/transactions/command.ts'
import { OperatingError } from '#platform/errors.ts'
import { makeKafka } from '#platform/kafka/client.ts'
import { TOPICS } from '#schemas/topics.ts'
import { ACTOR } from '../generator/records.ts'
import type { BenchLedger } from './lab.ts'
import type { SentLog } from './open-loop.ts'

/** Told of each transfer, once: its number, and when it was seen. */
export type OnSeen = (transfer: number, atMs: number) => void

export interface Watch {
  stop(): Promise<void>
}

const POLL_PAUSE_MS = 1

/** Asks Postgres again and again how far each partition is applied: what a commit has made visible. Late by a poll at most. */
export function watchCommits({ pool }: BenchLedger, log: SentLog, onSeen: OnSeen): Watch {
  const reached = new Map<number, number>()
  let isStopped = false
  const loop = async (): Promise<void> => {
    while (!isStopped) {
      const rows = await pool.query<{ partition: number; next: bigint }>({
        name: 'bench-positions',
        text: `select partition, next_offset as next from ingest_offsets where topic = 'transactions'`,
      })
      const atMs = performance.now()
      for (const { partition, next } of rows) {
        const placed = log.partitions.get(partition) ?? []
        let place = reached.get(partition) ?? 0
        while (place < placed.length && placed[place]!.offset < next) {
          onSeen(placed[place]!.transfer, atMs)
          place += 1
        }
        reached.set(partition, place)
      }
      await sleep(POLL_PAUSE_MS)
    }
  }
  const done = loop()
  return {
    stop: async () => {
      isStopped = true
      await done
    },
  }
}

const FETCH_WAIT_MS = 50

/** Reads decisions as any consumer does (read_committed). Transfers are known by the number at the end of their id. */
export async function watchOutputs(ledger: BenchLedger, run: string, onSeen: OnSeen): Promise<Watch> {
  const { configuration, publisher } = ledger
  const kafka = makeKafka(configuration.kafka, { clientId: 'bench-reader' })
  const consumer = kafka.consumer({
    groupId: `${configuration.ledger.name}.bench`,
    maxWaitTimeInMs: FETCH_WAIT_MS,
  })
  await consumer.connect()
  await consumer.subscribe({
    topics: [`${configuration.ledger.topicPrefix}${TOPICS.processed.name}`],
    fromBeginning: true,
  })
  const begun = new Promise<void>((resolve) => {
    consumer.on(consumer.events.GROUP_JOIN, () => resolve())
  })
  await consumer.run({
    autoCommit: false,
    partitionsConsumedConcurrently: publisher.contracts.processed.topic.partitions,
    eachBatch: async ({ batch }) => {
      const atMs = performance.now()
      for (const { key } of batch.messages) {
        const transfer = numberOfId(key?.toString('utf8') ?? '', run)
        if (transfer !== null) onSeen(transfer, atMs)
      }
    },
  })
  await begun
  return { stop: () => consumer.disconnect() }
}

/** Number of a plan's transfer, from 0, by its id (loadtest/generator/plain.ts); null where it is another one's. */
export function numberOfId(id: string, run: string): number | null {
  const text = id.startsWith(`${run}-`) ? id.slice(run.length + 1) : ''
  return /^[0-9a-z]{1,8}$/.test(text) ? Number.parseInt(text, 36) - 1 : null
}

const PROBE_EVERY_MS = 50
const PROBE_TIMEOUT_MS = 30_000

/**
 * Pays into accounts of its own, one after another by the clock, and asks the API for the balance until it is there.
 * @param accounts opened and without money
 */
export function watchBalances(
  ledger: BenchLedger,
  options: {
    apiUrl: string
    run: string
    from: string
    accounts: readonly string[]
    onSeen(ms: number): void
  },
): Watch {
  const { publisher } = ledger
  let isStopped = false
  const probes = new Set<Promise<void>>()
  let failure: unknown
  const probe = async (account: string, dueMs: number): Promise<void> => {
    await publisher.transactions([
      blankCommand({
        id: `probe-${account}`,
        source: options.run,
        postings: [{ debit: options.from, credit: account, amount: 100n, currency: 'USD' }],
        occurredAt: Date.now() - 60_000,
        actor: ACTOR,
      }),
    ])
    while ((await balanceOf(options.apiUrl, account)) !== 1) {
      if (performance.now() - dueMs > PROBE_TIMEOUT_MS) {
        throw new OperatingError('bench_timeout', `the balance of ${account} never changed`)
      }
      await sleep(POLL_PAUSE_MS)
    }
    options.onSeen(performance.now() - dueMs)
  }
  const loop = async (): Promise<void> => {
    const startMs = performance.now()
    for (const [place, account] of options.accounts.entries()) {
      const dueMs = startMs + place * PROBE_EVERY_MS
      const waitMs = dueMs - performance.now()
      if (waitMs > 0) await sleep(waitMs)
      if (isStopped) return
      const probing = probe(account, dueMs)
        .catch((error: unknown) => {
          failure ??= error
        })
        .finally(() => probes.delete(probing))
      probes.add(probing)
    }
  }
  const done = loop()
  return {
    stop: async () => {
      isStopped = true
      await done
      await Promise.all(probes)
      if (failure !== undefined) throw failure
    },
  }
}

/** Probes that fit into a time. */
export const probesIn = (seconds: number): number => Math.ceil((seconds * 1_000) / PROBE_EVERY_MS)

async function balanceOf(apiUrl: string, account: string): Promise<unknown> {
  const response = await fetch(`${apiUrl}/balance/${encodeURIComponent(account)}`, {
    signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
  })
  return ((await response.json()) as { balance?: unknown }).balance
}
