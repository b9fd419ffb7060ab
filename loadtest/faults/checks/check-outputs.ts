/** Is what left through Kafka what Postgres decided, once and in order, as Java's read_committed consumer gets it? */
import type { Configuration } from '#platform/config/configuration.ts'
import type { Findings } from '../findings.ts'
import type { RegistryReader } from './avro-reader.ts'
import { checkStates, type StateRules } from './check-states.ts'
import {
  describeAccount,
  describeAlert,
  describeBatch,
  describeDecision,
  describeEntry,
  describeNotification,
  describeRule,
  type ExpectedOutputs,
  entryPlaceOf,
  placeOf,
} from './expected-outputs.ts'
import { type ReadRecord, readTopic } from './java-topic.ts'
import { describeHit } from './reference-book.ts'
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

interface Alert {
  sequence: bigint
  index: number
  kind: string
  action: string
  account: string | null
  rules: { ruleId: string; version: bigint; value: bigint; threshold: bigint }[]
}

interface Notification {
  sequence: bigint
  index: number
  kind: string
  subject: string
  reason: string
  topic: string
  partition: number
  offset: bigint
}

interface Batch {
  sequence: bigint
  previousHash: Buffer
  hash: Buffer
  header: Buffer
  format: number
  records: number
  recordedAt: bigint
}

type Account = Parameters<typeof describeAccount>[0] & { account: string; sequence: bigint }
type RuleState = Parameters<typeof describeRule>[0] & { ruleId: string; version: bigint }

/** Which rules speak of a topic. */
interface TopicRules {
  readonly left: Rule
  readonly twice: Rule
  readonly asStored: Rule
}

const RULES_OF = {
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
  alerts: {
    left: 'every alert left',
    twice: 'no alert left twice',
    asStored: 'every alert left as the rules say',
  },
  notifications: {
    left: 'every notification left',
    twice: 'no notification left twice',
    asStored: 'every notification left as it was refused',
  },
  batches: {
    left: 'every batch left',
    twice: 'no batch left twice',
    asStored: 'every batch left as Postgres has it',
  },
} as const satisfies Record<string, TopicRules>

const STATE_RULES = {
  accounts: {
    latest: 'the last state of each account that left = the last change',
    asItWas: 'each state of an account that left is one that it had',
    newer: 'states of accounts that left grow newer',
  },
  rules: {
    latest: 'the last state of each rule that left = the last change',
    asItWas: 'each state of a rule that left is one that it had',
    newer: 'states of rules that left grow newer',
  },
} as const satisfies Record<string, StateRules>

export interface OutputSources {
  readonly decisions: AsyncIterable<ReadRecord<Processed>>
  readonly entries: AsyncIterable<ReadRecord<Entry>>
  readonly deadLetters: AsyncIterable<ReadRecord<DeadLetter>>
  readonly alerts: AsyncIterable<ReadRecord<Alert>>
  readonly notifications: AsyncIterable<ReadRecord<Notification>>
  readonly batches: AsyncIterable<ReadRecord<Batch>>
  readonly balances: AsyncIterable<ReadRecord<Balance>>
  readonly accounts: AsyncIterable<ReadRecord<Account>>
  readonly rules: AsyncIterable<ReadRecord<RuleState>>
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
    alerts: read<Alert>('fraud.alerts', expected.alerts.size, 1),
    notifications: read<Notification>('notifications', expected.notifications.size, 1),
    batches: read<Batch>('ledger.batches', expected.batches.size, 1),
    // Compacted topics: how many records are left of them isn't known.
    balances: read<Balance>('balances', 1),
    accounts: read<Account>('accounts.current', Math.min(1, expected.accounts.size), 1),
    rules: read<RuleState>('rules.current', Math.min(1, expected.rules.size), 1),
  }
}

/** Compares what left with what is stored. Several topics are read at once, the large ones first. */
export const checkOutputs = async (
  findings: Findings,
  sources: OutputSources,
  options: { expected: ExpectedOutputs; accounts: readonly StoredAccount[] },
): Promise<void> => {
  const { expected, accounts } = options
  const inOrder = ({ sequence, index }: { sequence: bigint; index: number }) => placeOf(sequence, index)
  await Promise.all([
    checkTopic(findings, sources.decisions, {
      rules: RULES_OF.decisions,
      expected: expected.decisions,
      place: inOrder,
      describe: describeDecision,
    }),
    checkTopic(findings, sources.entries, {
      rules: RULES_OF.entries,
      expected: expected.entries,
      place: (value) => entryPlaceOf(value.sequence, value.index, value.entry),
      describe: ({ account, side, amount, postedAfter }) =>
        describeEntry(account, side === 'debit' ? -amount : amount, postedAfter),
    }),
    checkTopic(findings, sources.batches, {
      rules: RULES_OF.batches,
      expected: expected.batches,
      place: ({ sequence }) => Number(sequence),
      describe: describeBatch,
    }),
    checkLatestBalances(findings, sources.balances, accounts),
  ])
  await Promise.all([
    checkTopic(findings, sources.deadLetters, {
      rules: RULES_OF.deadLetters,
      expected: expected.deadLetters,
      place: inOrder,
      describe: ({ topic, partition, offset, reason }) => `${topic}:${partition}:${offset} ${reason}`,
    }),
    checkTopic(findings, sources.alerts, {
      rules: RULES_OF.alerts,
      expected: expected.alerts,
      place: inOrder,
      describe: (alert) => describeAlert({ ...alert, hits: hitsOf(alert) }),
    }),
    checkTopic(findings, sources.notifications, {
      rules: RULES_OF.notifications,
      expected: expected.notifications,
      name: ({ topic, partition, offset }) => `${topic}:${partition}:${offset}`,
      place: inOrder,
      describe: describeNotification,
    }),
    checkStates(findings, sources.accounts, {
      rules: STATE_RULES.accounts,
      expected: expected.accounts,
      read: (value) => ({ id: value.account, sequence: value.sequence, state: describeAccount(value) }),
    }),
    checkStates(findings, sources.rules, {
      rules: STATE_RULES.rules,
      expected: expected.rules,
      read: (value) => ({ id: value.ruleId, sequence: value.version, state: describeRule(value) }),
    }),
  ])
}

/** Those that fired: others may be told of as well. */
const hitsOf = ({ rules }: Alert): string[] =>
  rules
    .filter(({ value, threshold }) => value > threshold)
    .map(describeHit)
    .sort()

/** @param options.place in ledger order; also what it is expected under, where it has no other name */
const checkTopic = async <Value, Name extends number | string = number>(
  findings: Findings,
  records: AsyncIterable<ReadRecord<Value>>,
  options: {
    rules: TopicRules
    expected: ReadonlyMap<Name, string>
    name?: (value: Value) => Name
    place: (value: Value) => number
    describe: (value: Value) => string
  },
): Promise<void> => {
  const { rules, expected, name: nameOf = options.place as unknown as (value: Value) => Name } = options
  const seen = new Set<Name>()
  const last = new Map<number, number>()
  for await (const { partition, offset, value } of records) {
    const at = `${partition}:${offset}`
    if (value === undefined) {
      findings.check(rules.asStored, false, () => `${at} can't be read`)
      continue
    }
    const place = options.place(value)
    const name = nameOf(value)
    findings.check(rules.twice, !seen.has(name), () => `${options.describe(value)} again at ${at}`)
    seen.add(name)
    findings.same(rules.asStored, at, expected.get(name), options.describe(value))
    const before = last.get(partition)
    findings.check(
      'outputs are in ledger order within a partition',
      before === undefined || before < place,
      () => `${at}: ${place} after ${before}`,
    )
    last.set(partition, place)
  }
  for (const [name, what] of expected) {
    findings.check(rules.left, seen.has(name), () => `${name} ${what}`)
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
