/** Is what left through Kafka what Postgres decided, once and in order, as Java's read_committed consumer gets it? */
import { type JavaRecord, javaConsole } from '#infra/local/java-console.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import type { Findings } from '../findings.ts'
import { RegistryReader } from './avro-reader.ts'
import type { StoredLedger } from './stored-ledger.ts'

interface Processed {
  sequence: bigint
  index: number
  id: string
  status: string
  partition: number
  offset: bigint
}

interface Entry {
  sequence: bigint
  index: number
  entry: number
  account: string
  side: 'debit' | 'credit'
  amount: bigint
  postedAfter: bigint
}

interface Balance {
  account: string
  posted: bigint
  sequence: bigint
}

interface Read<Value> {
  partition: number
  offset: number
  value: Value
}

const IDLE_TIMEOUT_MS = 4_000
/** Partitions of the busy outputs; a large topic is read one by one, so that a reading fits into memory. */
const PARTITIONS = 8
const RECORDS_AT_ONCE_MAX = 100_000

/** Checks `transactions.processed`, `ledger.entries` and `balances`. */
export const checkOutputs = async (
  findings: Findings,
  configuration: Configuration,
  stored: StoredLedger,
): Promise<void> => {
  const registry = new RegistryReader(configuration.schemaRegistry.url)
  const read = <Value>(topic: string, expected: number) =>
    readTopic<Value>(configuration, registry, { topic, expected })
  checkProcessed(
    findings,
    await read<Processed>('transactions.processed', stored.transactions.length),
    stored,
  )
  checkEntries(findings, await read<Entry>('ledger.entries', stored.postings.length * 2), stored)
  checkLatestBalances(findings, await read<Balance>('balances', stored.postings.length), stored)
}

const readTopic = async <Value>(
  configuration: Configuration,
  registry: RegistryReader,
  { topic, expected }: { topic: string; expected: number },
): Promise<Read<Value>[]> => {
  const options = {
    brokers: configuration.kafka.brokers.join(','),
    topic: `${configuration.ledger.topicPrefix}${topic}`,
    idleTimeoutMs: IDLE_TIMEOUT_MS,
  }
  const parts: { partition?: number }[] =
    expected <= RECORDS_AT_ONCE_MAX
      ? [{}]
      : Array.from({ length: PARTITIONS }, (_, partition) => ({ partition }))
  const values: Read<Value>[] = []
  for (const part of parts) {
    for (const record of await javaConsole({ ...options, ...part }))
      values.push(await decoded(registry, record))
  }
  return values
}

const decoded = async <Value>(registry: RegistryReader, record: JavaRecord): Promise<Read<Value>> => {
  const { partition, offset, value } = record
  if (value === undefined) throw new Error(`a record without a value at ${partition}:${offset}`)
  return { partition, offset, value: await registry.read<Value>(value) }
}

const checkProcessed = (
  findings: Findings,
  records: readonly Read<Processed>[],
  stored: StoredLedger,
): void => {
  const describe = (t: Omit<Processed, 'sequence' | 'index'>) =>
    `${t.id} ${t.status} ${t.partition}:${t.offset}`
  const decided = new Map(stored.transactions.map((t) => [`${t.sequence}.${t.index}`, describe(t)]))
  const seen = new Map<string, number>()
  const last = new Map<number, Processed>()
  for (const { partition, value } of records) {
    const place = `${value.sequence}.${value.index}`
    seen.set(place, (seen.get(place) ?? 0) + 1)
    findings.same('every output is what Postgres decided', place, decided.get(place), describe(value))
    const before = last.get(partition)
    findings.check(
      'outputs are in ledger order within a partition',
      before === undefined || isBefore(before, value),
      () => `partition ${partition}: ${place} after ${before?.sequence}.${before?.index}`,
    )
    last.set(partition, value)
  }
  for (const [place, what] of decided) {
    findings.same('every decision left once', `${place} ${what}`, 1, seen.get(place) ?? 0)
  }
}

const isBefore = (one: Processed, other: Processed): boolean =>
  one.sequence === other.sequence ? one.index < other.index : one.sequence < other.sequence

const checkEntries = (findings: Findings, records: readonly Read<Entry>[], stored: StoredLedger): void => {
  const describe = (account: string, change: bigint, after: bigint) => `${account} ${change} = ${after}`
  const expected = new Map<string, string>()
  for (const posting of stored.postings) {
    const place = `${posting.sequence}.${posting.index}`
    const { debit, credit, amount, debitPosted, creditPosted } = posting
    expected.set(`${place}.${posting.posting * 2}`, describe(debit, -amount, debitPosted))
    expected.set(`${place}.${posting.posting * 2 + 1}`, describe(credit, amount, creditPosted))
  }
  const seen = new Map<string, number>()
  for (const { value } of records) {
    const { account, side, amount, postedAfter } = value
    const place = `${value.sequence}.${value.index}.${value.entry}`
    seen.set(place, (seen.get(place) ?? 0) + 1)
    const found = describe(account, side === 'debit' ? -amount : amount, postedAfter)
    findings.same('every entry that left is one of Postgres', place, expected.get(place), found)
  }
  for (const place of expected.keys()) {
    findings.same('every entry left once', place, 1, seen.get(place) ?? 0)
  }
}

/** A compacted view: the newest record of an account is its balance, and versions only grow. */
const checkLatestBalances = (
  findings: Findings,
  records: readonly Read<Balance>[],
  stored: StoredLedger,
): void => {
  const latest = new Map<string, Balance>()
  for (const { value } of records) {
    const before = latest.get(value.account)
    findings.check(
      'balances that left grow newer',
      before === undefined || before.sequence < value.sequence,
      () => `${value.account}: ${before?.sequence}, then ${value.sequence}`,
    )
    latest.set(value.account, value)
  }
  for (const { id, posted } of stored.accounts) {
    findings.same('the last balance that left = Postgres', id, posted, latest.get(id)?.posted)
  }
}
