/** Is what left through Kafka what Postgres decided, once and in order, as Java's read_committed consumer gets it? */
import type { Configuration } from '#platform/config/configuration.ts'
import type { Findings } from '../findings.ts'
import type { RegistryReader } from './avro-reader.ts'
import {
  describeDecision,
  describeEntry,
  type ExpectedOutputs,
  entryPlaceOf,
  placeOf,
} from './expected-outputs.ts'
import { type ReadRecord, readTopic } from './java-topic.ts'
import type { Rule } from './rules.ts'
import type { StoredAccount } from './stored-ledger.ts'

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
  reserved: bigint
  sequence: bigint
}

interface DeadLetter {
  sequence: bigint
  index: number
  topic: string
  partition: number
  offset: bigint
  reason: string
}

/** Which rules speak of a topic. */
interface TopicRules {
  readonly left: Rule
  readonly twice: Rule
  readonly asStored: Rule
}

const RULES_OF: Readonly<Record<'decisions' | 'entries' | 'deadLetters', TopicRules>> = {
  decisions: {
    left: 'every decision left',
    twice: 'no decision left twice',
    asStored: 'every decision left as Postgres has it',
  },
  entries: {
    left: 'every entry left',
    twice: 'no entry left twice',
    asStored: 'every entry left as Postgres has it',
  },
  deadLetters: {
    left: 'every dead letter left',
    twice: 'no dead letter left twice',
    asStored: 'no dead letter left twice',
  },
}

export interface OutputSources {
  readonly decisions: AsyncIterable<ReadRecord<Processed>>
  readonly entries: AsyncIterable<ReadRecord<Entry>>
  readonly deadLetters: AsyncIterable<ReadRecord<DeadLetter>>
  readonly balances: AsyncIterable<ReadRecord<Balance>>
}

/** The output topics of a ledger, by Java's consumer. */
export const outputSources = (
  configuration: Configuration,
  registry: RegistryReader,
  expected: ExpectedOutputs,
): OutputSources => {
  const read = <Value>(topic: string, count: number, partitions?: number) =>
    readTopic<Value>(configuration, registry, {
      topic,
      expected: count,
      ...(partitions === undefined ? {} : { partitions }),
    })
  return {
    decisions: read<Processed>('transactions.processed', expected.decisions.size),
    entries: read<Entry>('ledger.entries', expected.entries.size),
    deadLetters: read<DeadLetter>('transactions.dlq', expected.deadLetters.size, 1),
    // A compacted topic: how many records are left of it isn't known.
    balances: read<Balance>('balances', 1),
  }
}

/** Compares what left with what is stored. Several topics are read at once. */
export const checkOutputs = async (
  findings: Findings,
  sources: OutputSources,
  options: { expected: ExpectedOutputs; accounts: readonly StoredAccount[] },
): Promise<void> => {
  const { expected, accounts } = options
  await Promise.all([
    checkTopic(findings, sources.decisions, {
      rules: RULES_OF.decisions,
      expected: expected.decisions,
      place: (value) => placeOf(value.sequence, value.index),
      describe: describeDecision,
    }),
    checkTopic(findings, sources.entries, {
      rules: RULES_OF.entries,
      expected: expected.entries,
      place: (value) => entryPlaceOf(value.sequence, value.index, value.entry),
      describe: ({ account, side, amount, postedAfter }) =>
        describeEntry(account, side === 'debit' ? -amount : amount, postedAfter),
    }),
    checkTopic(findings, sources.deadLetters, {
      rules: RULES_OF.deadLetters,
      expected: expected.deadLetters,
      place: (value) => placeOf(value.sequence, value.index),
      describe: ({ topic, partition, offset, reason }) => `${topic}:${partition}:${offset} ${reason}`,
    }),
    checkLatestBalances(findings, sources.balances, accounts),
  ])
}

const checkTopic = async <Value>(
  findings: Findings,
  records: AsyncIterable<ReadRecord<Value>>,
  options: {
    rules: TopicRules
    expected: ReadonlyMap<number, string>
    place: (value: Value) => number
    describe: (value: Value) => string
  },
): Promise<void> => {
  const { rules, expected } = options
  const seen = new Set<number>()
  const last = new Map<number, number>()
  for await (const { partition, offset, value } of records) {
    const at = `${partition}:${offset}`
    if (value === undefined) {
      findings.check(rules.asStored, false, () => `${at} can't be read`)
      continue
    }
    const place = options.place(value)
    findings.check(rules.twice, !seen.has(place), () => `${options.describe(value)} again at ${at}`)
    seen.add(place)
    findings.same(rules.asStored, at, expected.get(place), options.describe(value))
    const before = last.get(partition)
    findings.check(
      'outputs are in ledger order within a partition',
      before === undefined || before < place,
      () => `${at}: ${place} after ${before}`,
    )
    last.set(partition, place)
  }
  for (const [place, what] of expected) {
    findings.check(rules.left, seen.has(place), () => `${place} ${what}`)
  }
}

/** A compacted view: the newest record of an account is its balance, and versions only grow. */
const checkLatestBalances = async (
  findings: Findings,
  records: AsyncIterable<ReadRecord<Balance>>,
  accounts: readonly StoredAccount[],
): Promise<void> => {
  const latest = new Map<string, Balance>()
  for await (const { value } of records) {
    if (value === undefined) continue
    const before = latest.get(value.account)
    findings.check(
      'balances that left grow newer',
      before === undefined || before.sequence < value.sequence,
      () => `${value.account}: ${before?.sequence}, then ${value.sequence}`,
    )
    latest.set(value.account, value)
  }
  for (const { id, posted, reserved } of accounts) {
    const found = latest.get(id)
    const said = found && `${found.posted} ${found.reserved}`
    findings.same('the last balance that left = Postgres', id, `${posted} ${reserved}`, said)
  }
}
