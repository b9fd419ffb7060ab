/** What exactly differs between a stored batch record and its replay: found only for batches whose hash isn't the replay's. */
import {
  type BatchHeader,
  batchHash,
  type FrameTopic,
  type OutputFrame,
  readFrames,
} from '#domain/ledger/batch-record.ts'
import type { DifferingBatch } from './replayer.ts'

/** One thing that differs. Amounts and other 64-bit numbers as decimal strings. */
export interface Difference {
  readonly batch: string
  /**
   * `record` the stored record isn't what was hashed, or can't be read; `chain` it doesn't continue the one before; `header` a field
   * of the header; `input` an ingest record isn't where the header says; `accounts` a row of that table; else the output topic.
   */
  readonly kind: 'record' | 'chain' | 'header' | 'input' | 'accounts' | FrameTopic
  /** The ingest record that it is about, where it is about one. */
  readonly topic: string | null
  readonly partition: number | null
  readonly offset: string | null
  /** What it is: a transaction's id, an account, a field. */
  readonly subject: string
  /** Only the fields that differ; null where one side has nothing. */
  readonly stored: unknown
  readonly replayed: unknown
}

/** Reads a frame's value. @throws OperatingError where its schema isn't known, Error where it isn't of it */
export type FrameReader = (topic: FrameTopic, value: Buffer) => Promise<Record<string, unknown>>

/** More than these are counted and not listed: the first ones say what is wrong. */
const LISTED_MAX = 1_000

/** Differences of a whole replay. */
export class DifferenceList {
  readonly listed: Difference[] = []
  count = 0

  add(found: readonly Difference[]): void {
    this.count += found.length
    for (const each of found.slice(0, LISTED_MAX - this.listed.length)) this.listed.push(each)
  }
}

/** All differences of a batch. @param payload as stored; null where it can't be had */
export const differencesOf = async (
  batch: DifferingBatch,
  payload: Buffer | null,
  read: FrameReader,
): Promise<Difference[]> => {
  const sequence = String(batch.stored.sequence)
  const found: Difference[] = []
  if (batch.chain !== null) found.push(plain(sequence, 'chain', batch.chain))
  for (const { detail, ...position } of batch.problems) {
    found.push({ ...plain(sequence, 'input', detail), ...position })
  }
  found.push(...headerDifferences(sequence, batch.stored.header, JSON.parse(String(batch.header))))
  if (payload === null)
    return [...found, plain(sequence, 'record', 'its payload is missing or can not be unpacked')]
  const { previousHash, bytes, hash } = batch.stored
  if (!batchHash(previousHash, bytes, payload).equals(hash)) {
    found.push(plain(sequence, 'record', 'its hash is not that of its header and payload'))
  }
  found.push(...(await frameDifferences(sequence, payload, batch.payload, read)))
  // Equal in every part and yet another hash: then the previous hash or the spelling of the header is what was changed.
  return found.length > 0 ? found : [plain(sequence, 'record', 'its hash is not what the replay gives')]
}

/** Batches that the ledger has decided and that aren't there behind the last one that is: no later one can miss them. */
export const missingTail = (last: bigint, through: bigint): Difference[] =>
  last < through ? [plain(String(last + 1n), 'chain', `batches ${last + 1n} to ${through} are missing`)] : []

const plain = (batch: string, kind: Difference['kind'], subject: string): Difference => ({
  batch,
  kind,
  topic: null,
  partition: null,
  offset: null,
  subject,
  stored: null,
  replayed: null,
})

const headerDifferences = (sequence: string, stored: BatchHeader, replayed: BatchHeader): Difference[] =>
  (Object.keys(replayed) as (keyof BatchHeader)[])
    .filter((field) => JSON.stringify(stored[field]) !== JSON.stringify(replayed[field]))
    .map((field) => ({
      ...plain(sequence, 'header', field),
      stored: stored[field],
      replayed: replayed[field],
    }))

const frameDifferences = async (
  sequence: string,
  stored: Buffer,
  replayed: Buffer,
  read: FrameReader,
): Promise<Difference[]> => {
  let storedFrames: OutputFrame[]
  try {
    storedFrames = readFrames(stored)
  } catch (error) {
    return [plain(sequence, 'record', error instanceof Error ? error.message : String(error))]
  }
  const [left, right] = withoutEqual(storedFrames, readFrames(replayed))
  const pairs = new Map<string, { stored: ReadFrame | null; replayed: ReadFrame | null }>()
  for (const frame of await Promise.all(left.map((each) => readFrame(each, read)))) {
    pairs.set(frame.identity, { stored: frame, replayed: null })
  }
  for (const frame of await Promise.all(right.map((each) => readFrame(each, read)))) {
    pairs.set(frame.identity, { stored: pairs.get(frame.identity)?.stored ?? null, replayed: frame })
  }
  const found = [...pairs.values()].map((pair) => frameDifference(sequence, pair.stored, pair.replayed))
  if (found.length === 0 && !stored.equals(replayed)) {
    found.push(plain(sequence, 'record', 'its outputs stand in another order'))
  }
  return found
}

const bytesOf = ({ topic, key, value }: OutputFrame): string =>
  `${topic}\0${key.toString('latin1')}\0${value.toString('latin1')}`

/** Those that the other side hasn't byte for byte. */
const withoutEqual = (
  stored: readonly OutputFrame[],
  replayed: readonly OutputFrame[],
): readonly [OutputFrame[], OutputFrame[]] => {
  const counts = new Map<string, number>()
  for (const frame of stored) counts.set(bytesOf(frame), (counts.get(bytesOf(frame)) ?? 0) + 1)
  const right = replayed.filter((frame) => {
    const bytes = bytesOf(frame)
    const count = counts.get(bytes) ?? 0
    counts.set(bytes, count - 1)
    return count <= 0
  })
  const left = stored.filter((frame) => {
    const bytes = bytesOf(frame)
    const count = counts.get(bytes)!
    if (count > 0) counts.set(bytes, count - 1)
    return count > 0
  })
  return [left, right]
}

interface ReadFrame {
  readonly topic: FrameTopic
  readonly key: string
  /** The same on both sides for what is about the same. */
  readonly identity: string
  readonly value: Record<string, unknown>
}

const readFrame = async (frame: OutputFrame, read: FrameReader): Promise<ReadFrame> => {
  const key = frame.key.toString('utf8')
  let value: Record<string, unknown>
  try {
    value = await read(frame.topic, frame.value)
  } catch (error) {
    value = { unreadable: error instanceof Error ? error.message : String(error) }
  }
  const place = 'index' in value ? `#${String(value.index)}` : key
  return { topic: frame.topic, key, identity: `${frame.topic} ${place}`, value }
}

const frameDifference = (batch: string, stored: ReadFrame | null, replayed: ReadFrame | null): Difference => {
  const { topic: kind, key, value } = (replayed ?? stored)!
  const fields = Object.keys({ ...stored?.value, ...replayed?.value }).filter(
    (field) => textOf(stored?.value[field]) !== textOf(replayed?.value[field]),
  )
  const only = (frame: ReadFrame | null): unknown =>
    frame === null ? null : plainOf(Object.fromEntries(fields.map((field) => [field, frame.value[field]])))
  const isAboutRecord = 'topic' in value && 'partition' in value && 'offset' in value
  return {
    batch,
    kind,
    topic: isAboutRecord ? String(value.topic) : null,
    partition: isAboutRecord ? Number(value.partition) : null,
    offset: isAboutRecord ? String(value.offset) : null,
    subject: key,
    stored: only(stored),
    replayed: only(replayed),
  }
}

const textOf = (value: unknown): string | undefined =>
  JSON.stringify(value, (_name, inner: unknown) => (typeof inner === 'bigint' ? inner.toString() : inner))

/** As JSON has it: 64-bit numbers as decimal strings. */
const plainOf = (value: unknown): unknown => JSON.parse(textOf(value)!)
