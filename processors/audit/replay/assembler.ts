/** Puts ingest records back into the serial history: for each batch its inputs, in the order that its header recorded. */
import type { BatchHeader } from '#domain/ledger/batch-record.ts'
import type { LedgerInput } from '#domain/ledger/inputs.ts'
import { OperatingError } from '#platform/errors.ts'
import type { IngestRecord } from '#platform/kafka/ingest-record.ts'
import type { RecordRange, RecordSource } from '../record-source.ts'

/** Turns records of a topic (name without prefix) into inputs, one each. Waits for the registry where it must. */
export type RecordDecoder = (topic: string, records: readonly IngestRecord[]) => Promise<LedgerInput[]>

/** What a header says about where its inputs come from. */
export type BatchOrder = Pick<BatchHeader, 'cluster' | 'sources' | 'order' | 'skips' | 'jumps'>

/** Records that aren't where the header says. */
export interface RecordProblem {
  readonly topic: string
  readonly partition: number
  readonly offset: string
  readonly detail: string
}

export interface AssembledBatch {
  readonly inputs: LedgerInput[]
  /** Empty where the records are as recorded. */
  readonly problems: RecordProblem[]
}

/** Gives batches' inputs, to be asked for in ledger order. */
export interface InputSource {
  inputsOf(batch: BatchOrder): Promise<AssembledBatch>
  close(): Promise<void>
}

export const rangeName = ({
  cluster,
  topic,
  partition,
}: Pick<RecordRange, 'cluster' | 'topic' | 'partition'>): string => `${cluster}/${topic}:${partition}`

const PASSED_AT_ONCE = 1_024
/** Decoded records take several times the room of their bytes: so many at a time. */
const DECODED_AT_ONCE = 1_024

/** The decoded records of one partition, as a queue. */
class InputStream {
  private readonly chunks: AsyncIterator<readonly IngestRecord[]>
  private readonly decode: RecordDecoder
  private readonly topic: string
  private records: readonly IngestRecord[] = []
  private decoded = 0
  private inputs: LedgerInput[] = []
  private at = 0
  private ended = false

  constructor(source: RecordSource, decode: RecordDecoder, range: RecordRange) {
    this.chunks = source.read(range)[Symbol.asyncIterator]()
    this.decode = decode
    this.topic = range.topic
  }

  /** The next input without taking it; undefined at the end of the range. */
  async peek(): Promise<LedgerInput | undefined> {
    while (this.at === this.inputs.length && !this.ended) await this.refill()
    return this.inputs[this.at]
  }

  private async refill(): Promise<void> {
    if (this.decoded === this.records.length) {
      const chunk = await this.chunks.next()
      this.ended = chunk.done === true
      this.records = chunk.done === true ? [] : chunk.value
      this.decoded = 0
    }
    const some = this.records.slice(this.decoded, this.decoded + DECODED_AT_ONCE)
    this.inputs = some.length === 0 ? [] : await this.decode(this.topic, some)
    this.decoded += some.length
    this.at = 0
  }

  /** Moves up to `max` inputs below an offset; @returns how many. Looks only at what is there: peek before. */
  takeInto(into: LedgerInput[], max: number, below: bigint): number {
    const { inputs } = this
    const end = Math.min(inputs.length, this.at + max)
    const first = this.at
    let at = first
    while (at < end && inputs[at]!.offset < below) into.push(inputs[at++]!)
    this.at = at
    return at - first
  }

  async end(): Promise<void> {
    await this.chunks.return?.()
  }
}

export class BatchAssembler implements InputSource {
  private readonly source: RecordSource
  private readonly decode: RecordDecoder
  /** By name, those that are still to be read, the one that is read now first. */
  private readonly ranges = new Map<string, RecordRange[]>()
  private readonly streams = new Map<string, InputStream>()
  /** Names of the ranges that a batch has read. */
  private readonly begun = new Set<string>()
  private turn: Promise<unknown> = Promise.resolve()

  /** @param ranges what all batches together will read of each partition */
  constructor(source: RecordSource, decode: RecordDecoder, ranges: readonly RecordRange[]) {
    this.source = source
    this.decode = decode
    for (const range of ranges) {
      const list = this.ranges.get(rangeName(range))
      if (list === undefined) this.ranges.set(rangeName(range), [range])
      else list.push(range)
    }
  }

  /** May be asked for several batches at once: they are done one after the other. @throws OperatingError as RecordSource.read and the decoder */
  inputsOf(batch: BatchOrder): Promise<AssembledBatch> {
    const assembled = this.turn.then(() => this.assemble(batch))
    this.turn = assembled.catch(() => undefined)
    return assembled
  }

  private async assemble(batch: BatchOrder): Promise<AssembledBatch> {
    const inputs: LedgerInput[] = []
    const problems: RecordProblem[] = []
    const skips = skipsOf(batch)
    for (const { topic, partition } of batch.jumps ?? []) {
      const name = rangeName({ cluster: batch.cluster, topic, partition })
      if (this.begun.has(name)) await this.nextRange(name)
    }
    for (const source of batch.sources) {
      await this.jump(batch.cluster, source)
      this.begun.add(rangeName({ cluster: batch.cluster, ...source }))
      problems.push(...(await this.passed(batch.cluster, source, BigInt(source.from), 'of no batch')))
    }
    for (const [place, count] of batch.order) {
      const { topic, partition, next } = batch.sources[place]!
      const taken = await takeRun({
        stream: this.streamOf(batch.cluster, topic, partition),
        inputs,
        count,
        skips: skips.get(place) ?? [],
        topic,
        partition,
        next: BigInt(next),
      })
      if (taken < count) {
        problems.push({
          topic,
          partition,
          offset: next,
          detail: `${count - taken} records fewer than recorded`,
        })
      }
    }
    for (const source of batch.sources) {
      problems.push(...(await this.passed(batch.cluster, source, BigInt(source.next), 'not decided')))
    }
    return { inputs, problems }
  }

  /** Where the position was set anew and no header told it, reading goes on with the partition's next range. */
  private async jump(cluster: string, source: BatchOrder['sources'][number]): Promise<void> {
    const name = rangeName({ cluster, ...source })
    const [now, next] = this.ranges.get(name) ?? []
    const from = BigInt(source.from)
    if (next?.from !== from || (now!.from <= from && from < now!.next)) return
    await this.nextRange(name)
  }

  private async nextRange(name: string): Promise<void> {
    await this.streams.get(name)?.end()
    this.streams.delete(name)
    this.ranges.get(name)?.shift()
    this.begun.delete(name)
  }

  /** Goes on to an offset; what lies before it and wasn't taken is a problem. */
  private async passed(
    cluster: string,
    { topic, partition }: { readonly topic: string; readonly partition: number },
    below: bigint,
    detail: string,
  ): Promise<RecordProblem[]> {
    let count = 0
    let first: bigint | null = null
    const stream = this.streamOf(cluster, topic, partition)
    for (
      let next = await stream.peek();
      next !== undefined && next.offset < below;
      next = await stream.peek()
    ) {
      first ??= next.offset
      count += stream.takeInto([], PASSED_AT_ONCE, below)
    }
    if (first === null) return []
    return [{ topic, partition, offset: String(first), detail: `${count} records from here on ${detail}` }]
  }

  async close(): Promise<void> {
    for (const stream of this.streams.values()) await stream.end()
    await this.source.close()
  }

  private streamOf(cluster: string, topic: string, partition: number): InputStream {
    const name = rangeName({ cluster, topic, partition })
    let stream = this.streams.get(name)
    if (stream === undefined) {
      const range = this.ranges.get(name)?.[0]
      if (range === undefined)
        throw new OperatingError('batch_damaged', `${name} isn't among the ranges of the plan`)
      stream = new InputStream(this.source, this.decode, range)
      this.streams.set(name, stream)
    }
    return stream
  }
}

/** By source: the offsets at which a stretch without records ends, ascending. */
const skipsOf = (batch: BatchOrder): Map<number, bigint[]> => {
  const skips = new Map<number, bigint[]>()
  for (const [place, offset] of batch.skips) {
    const list = skips.get(place)
    if (list === undefined) skips.set(place, [BigInt(offset)])
    else list.push(BigInt(offset))
  }
  return skips
}

interface Run {
  readonly stream: InputStream
  readonly inputs: LedgerInput[]
  readonly count: number
  /** Those that aren't taken yet; the ones taken are removed. */
  readonly skips: bigint[]
  readonly topic: string
  readonly partition: number
  /** Where the batch stopped reading. */
  readonly next: bigint
}

/** Takes so many inputs of a partition: its records, and between them what the header says was skipped. @returns how many were there */
const takeRun = async (run: Run): Promise<number> => {
  const { stream, inputs, count, skips, topic, partition, next } = run
  let taken = 0
  while (taken < count) {
    const record = await stream.peek()
    const skip = skips[0]
    if (skip !== undefined && (record === undefined || record.offset > skip)) {
      inputs.push({ type: 'advance', topic, partition, offset: skip })
      skips.shift()
      taken += 1
    } else if (record === undefined || record.offset >= next) {
      break
    } else {
      taken += stream.takeInto(inputs, count - taken, skip === undefined ? next : skip + 1n)
    }
  }
  return taken
}
