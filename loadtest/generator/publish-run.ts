/** Publishes a planned run: reference data and funding first, each awaited until it is applied, then the transactions. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { IngestPublisher } from '#connectors/ingest/publisher.ts'
import type { OutgoingRecord, RecordPosition } from '#platform/kafka/producer.ts'
import { encodeRecord } from './encode.ts'
import { type Expectation, SpanCollector } from './expectation.ts'
import type { GeneratedRecord } from './records.ts'
import type { RunPlan } from './run.ts'

export interface PublishRunOptions {
  readonly publisher: IngestPublisher
  /** Resolves when the records at these positions are applied. */
  readonly awaitApplied: (positions: Iterable<RecordPosition>) => Promise<void>
  /** Transactions a second, whether or not the engine keeps up (open loop); as fast as possible where absent. */
  readonly ratePerSecond?: number | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((message: string) => void) | undefined
}

export interface PublishSummary {
  readonly published: number
  readonly publishMs: number
  readonly publishedPerSecond: number
  /** The plan's expectation with the places of its records. */
  readonly expectation: Expectation
  /** Last position of each partition that was written to. */
  readonly positions: readonly RecordPosition[]
}

const BLOCK_RECORDS = 2_000
/** Blocks encoded ahead of the broker: it never waits for encoding, and memory stays bounded. */
const BLOCKS_IN_FLIGHT_MAX = 6
const REFERENCE_BLOCK = 5_000
/** At a given rate records go out in this rhythm. */
const RATE_SLICE_MS = 20
const PROGRESS_EVERY_MS = 2_000

/** Publishes the whole run. Errors are those of publishing and waiting. */
export async function publishRun(plan: RunPlan, options: PublishRunOptions): Promise<PublishSummary> {
  await publishReference(plan, options)
  return await publishTransactions(plan, options)
}

/** Accounts, then cards and funding, then rules; what comes next needs what came before. */
export async function publishReference(plan: RunPlan, options: PublishRunOptions): Promise<void> {
  const { publisher, awaitApplied, onProgress } = options
  onProgress?.(`opening ${plan.accounts.length} accounts`)
  await awaitApplied(await inBlocks(plan.accounts, (part) => publisher.accounts(part)))
  onProgress?.(`funding them, issuing ${plan.cards.length} cards`)
  const cards = await inBlocks(plan.cards, (part) => publisher.cards(part))
  const funding = await inBlocks(plan.funding, (part) => publisher.transactions(part))
  await awaitApplied([...cards, ...funding])
  await awaitApplied(await inBlocks(plan.rules, (part) => publisher.rules(part)))
}

async function inBlocks<T>(
  items: readonly T[],
  publish: (part: readonly T[]) => Promise<RecordPosition[]>,
): Promise<RecordPosition[]> {
  const positions: RecordPosition[] = []
  for (let at = 0; at < items.length; at += REFERENCE_BLOCK) {
    for (const position of await publish(items.slice(at, at + REFERENCE_BLOCK))) positions.push(position)
  }
  return positions
}

/** The transactions alone: the reference data must be applied. */
export async function publishTransactions(
  plan: RunPlan,
  options: PublishRunOptions,
): Promise<PublishSummary> {
  const sender = new BlockSender(options)
  const rate = options.ratePerSecond
  const size = rate === undefined ? BLOCK_RECORDS : Math.max(1, Math.round((rate * RATE_SLICE_MS) / 1_000))
  let block: GeneratedRecord[] = []
  for (const record of plan.records()) {
    block.push(record)
    if (block.length < size) continue
    await sender.send(block)
    block = []
  }
  if (block.length > 0) await sender.send(block)
  await sender.finish()
  const publishMs = Math.max(1, Math.round(sender.elapsedMs))
  const ranges = sender.spans.spans()
  const topic = options.publisher.topicName('transactions')
  return {
    published: sender.published,
    publishMs,
    publishedPerSecond: Math.round((sender.published * 1_000) / publishMs),
    expectation: { ...plan.expectation, ranges },
    positions: ranges.map(({ partition, last }) => ({ topic, partition, offset: last })),
  }
}

class BlockSender {
  readonly spans = new SpanCollector()
  published = 0
  elapsedMs = 0
  readonly #options: PublishRunOptions
  readonly #topic: string
  readonly #underWay = new Set<Promise<void>>()
  readonly #startMs = performance.now()
  #shownAtMs = performance.now()
  #failure: unknown

  constructor(options: PublishRunOptions) {
    this.#options = options
    this.#topic = options.publisher.topicName('transactions')
  }

  async send(records: readonly GeneratedRecord[]): Promise<void> {
    const { publisher, signal } = this.#options
    signal?.throwIfAborted()
    await this.#keepRate()
    while (this.#underWay.size >= BLOCKS_IN_FLIGHT_MAX) await Promise.race(this.#underWay)
    if (this.#failure !== undefined) throw this.#failure
    const outgoing: OutgoingRecord[] = records.map((record) => ({
      topic: this.#topic,
      ...encodeRecord(record, (command) => publisher.encodeTransaction(command)),
    }))
    this.published += records.length
    const sending = publisher
      .encoded(outgoing)
      .then((positions) => this.spans.add(positions))
      .catch((error: unknown) => {
        this.#failure ??= error
      })
      .finally(() => this.#underWay.delete(sending))
    this.#underWay.add(sending)
    this.#showProgress()
  }

  async finish(): Promise<void> {
    await Promise.all(this.#underWay)
    if (this.#failure !== undefined) throw this.#failure
    this.elapsedMs = performance.now() - this.#startMs
  }

  /** Open loop: by the clock alone. Where the broker is too slow the next blocks follow without a pause. */
  async #keepRate(): Promise<void> {
    const { ratePerSecond, signal } = this.#options
    if (ratePerSecond === undefined) return
    const aheadMs = (this.published * 1_000) / ratePerSecond - (performance.now() - this.#startMs)
    if (aheadMs > 1) await sleep(aheadMs, undefined, signal === undefined ? {} : { signal })
  }

  #showProgress(): void {
    const nowMs = performance.now()
    if (nowMs - this.#shownAtMs < PROGRESS_EVERY_MS) return
    this.#shownAtMs = nowMs
    const perSecond = Math.round((this.published * 1_000) / (nowMs - this.#startMs))
    this.#options.onProgress?.(`published ${this.published} transactions (${perSecond}/s)`)
  }
}
