/**
 * The part of `audit verify` that is about reconciliation: items, statements and refusals are made again from what they were read from,
 * matches and breaks follow from them, and every match and step of a break is held against what was published when it happened.
 */
import { parsePair } from '#connectors/reconciliation/pair-file.ts'
import { type BreakState, evolveBreak } from '#domain/breaks/break-life.ts'
import { dayOf, type MatchItem } from '#domain/matching/item.ts'
import type { PairSettings } from '#domain/matching/pair.ts'
import { isDispute } from '#domain/reconciliation/hands.ts'
import { PairState, type PairStatement } from '#domain/reconciliation/pair-state.ts'
import type { StatementValue } from '#domain/statements/record.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import { ConfigurationError, OperatingError } from '#platform/errors.ts'
import { KafkaAdmin } from '#platform/kafka/admin.ts'
import { makeKafka } from '#platform/kafka/client.ts'
import { RangeReader } from '#platform/kafka/range-reader.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import {
  asPool,
  type AuditedEvent,
  type PairAuditRow,
  readAuditedPairs,
  readPairEvents,
  readPairRows,
  readReaderPositions,
  readResultNumbers,
  readStrayPairs,
} from '#platform/postgres/reconciliation/audit-rows.ts'
import { readLedgerPostings } from '#platform/postgres/reconciliation/ledger-postings.ts'
import type { ResultValue } from '#platform/postgres/reconciliation/results.ts'
import { itemJson, statementJson } from '#platform/postgres/reconciliation/rows.ts'
import { schemaOf } from '#platform/schema-registry/contracts.ts'
import { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { AvroDecoder } from '#platform/schema-registry/serde.ts'
import { TOPICS } from '#schemas/topics.ts'
import { compareRows } from './audit/verify/compare-rows.ts'
import type { Findings } from './audit/verify/findings.ts'
import { checkPublishedResults } from './audit/verify/published-results.ts'
import { commandOfJson } from './reconcile/command-json.ts'
import { type InputRecord, InputTopic } from './reconcile/input-topic.ts'
import { itemsOfPosting } from './reconcile/ledger-items.ts'
import { type CommandValue, isCommandId } from './reconcile/pair-runner.ts'
import { refusalOfSettings } from './reconcile/reconciler.ts'
import { takeRecord } from './reconcile/statement-records.ts'

export interface ReconciliationCheck {
  readonly configuration: Configuration
  readonly snapshot: ReadPool
  /** Batches up to this one were dropped: entries of theirs can't be made again. */
  readonly droppedThrough: bigint
  readonly headSequence: bigint
  readonly findings: Findings
  readonly onMessage: (message: string) => void
}

const PORTION = 5_000
/** Batches of the ledger whose entries are read at once. */
const BATCHES = 500n

const LEDGER_TABLES = ['postings', 'transactions', 'accounts', 'batches']

/** Compares them as of the snapshot. @throws UnreachableError, OperatingError */
export async function checkReconciliation(asked: ReconciliationCheck): Promise<void> {
  const { configuration, snapshot, findings, onMessage, headSequence } = asked
  // What is made of an entry that was changed by hand would accuse the item, which is as it was.
  const isSound = !findings.listed.some(({ table }) => LEDGER_TABLES.includes(table))
  const check = isSound ? asked : { ...asked, droppedThrough: headSequence }
  const pairs = await readAuditedPairs(snapshot)
  const numbers = await readResultNumbers(snapshot)
  if (numbers.rows !== numbers.sequence || numbers.last !== numbers.sequence) {
    findings.add('recon_results', String(numbers.last), 'gap')
  }
  if (numbers.published > numbers.sequence) findings.add('recon_results_head', '', 'changed')
  for (const { name, pair } of await readStrayPairs(snapshot)) findings.add(name, pair, 'added')
  onMessage(`reconciliation: ${pairs.map(({ pair }) => pair).join(', ')}`)
  const kafka = makeKafka(configuration.kafka, { clientId: 'tallystream-audit' })
  const sources = new Sources(configuration, new KafkaAdmin(kafka), new RangeReader(kafka))
  try {
    const positions = await readReaderPositions(snapshot, configuration.ledger.clusterId)
    const nextOf = (reader: string, topic: string) =>
      positions.find((one) => one.reader === reader && one.topic === topic)?.next ?? 0n
    const orders = await sources.commands(nextOf('', TOPICS.reconciliationCommands.name))
    const asked = new Set(orders.records.flatMap(({ value }) => ('unreadable' in value ? [] : [value.pair])))
    for (const name of asked) {
      const isThere = pairs.some(({ pair }) => pair === name)
      if (!isThere && acceptedOf(ordersOf(name, orders)).length > 0)
        findings.add('recon_pairs', name, 'removed')
    }
    for (const pair of pairs) {
      await new PairCheck(check, pair).run({
        orders,
        commands: await sources.commands(nextOf(pair.pair, TOPICS.reconciliationCommands.name)),
        statements: await sources.statements(nextOf(pair.pair, TOPICS.statements.name)),
      })
    }
    const results = (await sources.results()).records
    await checkPublishedResults(
      snapshot,
      results.flatMap(({ value }) => ('unreadable' in value ? [] : [value])),
      numbers.sequence,
      findings,
    )
  } finally {
    await sources.close()
  }
}

interface Stretch<T> {
  readonly records: readonly InputRecord<T>[]
  /** Whether it begins where the topic did. */
  readonly isWhole: boolean
}

/** The topics that reconciliation reads and writes. */
class Sources {
  readonly #configuration: Configuration
  readonly #admin: KafkaAdmin
  readonly #ranges: RangeReader
  readonly #registry: SchemaRegistry

  constructor(configuration: Configuration, admin: KafkaAdmin, ranges: RangeReader) {
    this.#configuration = configuration
    this.#admin = admin
    this.#ranges = ranges
    this.#registry = new SchemaRegistry(configuration.schemaRegistry)
  }

  commands(next: bigint): Promise<Stretch<CommandValue>> {
    return this.#read('reconciliationCommands', next, commandOfJson)
  }

  statements(next: bigint): Promise<Stretch<StatementValue>> {
    return this.#read('statements', next)
  }

  results(): Promise<Stretch<ResultValue>> {
    return this.#read('reconciliationResults', null)
  }

  async close(): Promise<void> {
    await this.#ranges.close()
    await this.#admin.close()
  }

  /** @param next where to end; null = at the log's end */
  async #read<T>(
    key: 'statements' | 'reconciliationCommands' | 'reconciliationResults',
    next: bigint | null,
    parseJson?: (text: string) => T | null,
  ): Promise<Stretch<T>> {
    const { topicPrefix } = this.#configuration.ledger
    const topic = new InputTopic<T>({
      admin: this.#admin,
      ranges: this.#ranges,
      decoder: new AvroDecoder<T>(this.#registry, schemaOf(TOPICS[key])),
      topic: TOPICS[key].name,
      topicPrefix,
      ...(parseJson === undefined ? {} : { parseJson }),
    })
    const [range] = await this.#admin.ranges(`${topicPrefix}${TOPICS[key].name}`).catch(noneIfUnknown)
    const records: InputRecord<T>[] = []
    if (range === undefined) return { records, isWhole: true }
    let from: bigint | null = range.start
    while (next === null || from < next) {
      const portion: Awaited<ReturnType<typeof topic.read>> = await topic.read(0, from, PORTION)
      records.push(...portion.records.filter(({ offset }) => next === null || offset < next))
      if (portion.position === null) break
      from = portion.position.next
    }
    return { records, isWhole: range.start === 0n }
  }
}

/** A ledger that never reconciled may lack the topics. */
function noneIfUnknown(error: unknown): never[] {
  if (error instanceof OperatingError && error.code === 'topic_unknown') return []
  throw error
}

interface PairSources {
  readonly orders: Stretch<CommandValue>
  readonly commands: Stretch<CommandValue>
  readonly statements: Stretch<StatementValue>
}

/** One pair's tables. */
class PairCheck {
  readonly #check: ReconciliationCheck
  readonly #row: PairAuditRow
  /** By id: what it may be. Where settings have changed, nobody knows any more by which a record was read. */
  readonly #items = new Map<string, MatchItem[]>()
  readonly #statements = new Map<string, PairStatement[]>()
  readonly #refused = new Map<string, { reason: string }[]>()

  constructor(check: ReconciliationCheck, row: PairAuditRow) {
    this.#check = check
    this.#row = row
  }

  async run(sources: PairSources): Promise<void> {
    const { findings, snapshot, headSequence, droppedThrough } = this.#check
    const { pair, ledger_sequence, settings } = this.#row
    const orders = ordersOf(pair, sources.orders)
    const accepted = acceptedOf(orders)
    const isAsAsked = accepted.at(-1) === settings || (accepted.length === 0 && !sources.orders.isWhole)
    if (!isAsAsked || ledger_sequence > headSequence) findings.add('recon_pairs', pair, 'changed')
    const inForce = settingsOf(accepted.at(-1) ?? settings)
    if (inForce === null) return
    const variants = sources.orders.isWhole ? accepted.map((body) => settingsOf(body)!) : [inForce]
    for (const variant of variants) this.#take(sources.statements, variant)
    await this.#takeEntries(inForce)
    const mayStay = (key: string) =>
      key.startsWith('ledger:') ? sequenceOfItem(key) <= droppedThrough : !sources.statements.isWhole
    const isOld = () => !sources.statements.isWhole
    await this.#compare('recon_items', mapped(this.#items, itemRow), mayStay)
    await this.#compare('recon_statements', mapped(this.#statements, statementRow), isOld)
    const commands = this.#commands(orders, sources)
    await this.#compare('recon_refused', this.#refused, isOld)
    await this.#compare(
      'recon_commands',
      commands,
      () => !sources.commands.isWhole || !sources.orders.isWhole,
    )
    await this.#compareFolds(inForce, await readPairEvents(snapshot, pair), [...commands.keys()])
  }

  async #compare(
    table: Parameters<typeof readPairRows>[1],
    expected: ReadonlyMap<string, readonly unknown[]>,
    mayStay: (key: string) => boolean,
  ): Promise<void> {
    const { snapshot, findings } = this.#check
    const { pair } = this.#row
    const stored = await readPairRows(snapshot, table, pair)
    compareRows({ name: table, prefix: `${pair}/`, expected, mayStay }, stored, findings)
  }

  #take({ records }: Stretch<StatementValue>, settings: PairSettings): void {
    const items = new Map<string, MatchItem>()
    const statements = new Map<string, PairStatement>()
    for (const { value, topic, partition, offset } of records) {
      const key = `${topic}:${partition}:${offset}`
      if ('unreadable' in value) {
        this.#refused.set(key, [{ reason: value.unreadable }])
        continue
      }
      const taken = takeRecord({ value, topic, partition, offset }, settings)
      // What comes again changes nothing: the first one stays.
      for (const item of taken.items) if (!items.has(item.id)) items.set(item.id, item)
      const { statement, refusal } = taken
      if (statement !== null && !statements.has(statement.key)) statements.set(statement.key, statement)
      if (refusal !== null) this.#refused.set(key, [{ reason: refusal }])
    }
    for (const [id, item] of items) this.#items.set(id, [...(this.#items.get(id) ?? []), item])
    for (const [key, one] of statements)
      this.#statements.set(key, [...(this.#statements.get(key) ?? []), one])
  }

  async #takeEntries({ accounts }: PairSettings): Promise<void> {
    const { snapshot, droppedThrough } = this.#check
    const own = new Set(accounts.values())
    const { ledger_sequence: end } = this.#row
    for (let after = droppedThrough; after < end; after += BATCHES) {
      const upTo = after + BATCHES < end ? after + BATCHES : end
      for (const posting of await readLedgerPostings(asPool(snapshot), { after, upTo }, [...own])) {
        for (const item of itemsOfPosting(posting, own)) this.#items.set(item.id, [item])
      }
    }
  }

  /** Ids that must be there; those that can't be one are refused records. */
  #commands(orders: readonly CommandValue[], { commands }: PairSources): Map<string, unknown[]> {
    const { pair } = this.#row
    const ids = new Map<string, unknown[]>(orders.map(({ id }) => [id, [{}]]))
    for (const { value, topic, partition, offset } of commands.records) {
      if ('unreadable' in value || value.pair !== pair || value.kind === 'set_pair') continue
      if (isCommandId(value.id)) ids.set(value.id, [{}])
      else this.#refused.set(`${topic}:${partition}:${offset}`, [{ reason: 'command_id_invalid' }])
    }
    return ids
  }

  /** Matches follow from the items and from what people decided; breaks are the fold of their events. */
  async #compareFolds(
    settings: PairSettings,
    events: readonly AuditedEvent[],
    commands: readonly string[],
  ): Promise<void> {
    const { findings } = this.#check
    const stored = await readPairRows(this.#check.snapshot, 'recon_items', this.#row.pair)
    // What was found above isn't found again in all that follows from it.
    const items = stored.flatMap(({ key, item }) => this.#items.get(key)?.[0] ?? storedItem(item) ?? [])
    const breaks = new Map<string, BreakState>()
    const versions = new Map<string, bigint>()
    for (const { id, event, version } of events) {
      try {
        breaks.set(id, evolveBreak(breaks.get(id) ?? null, event))
        versions.set(id, version)
      } catch {
        findings.add('recon_break_events', `${this.#row.pair}/${id}`, 'changed')
        return
      }
    }
    const state = new PairState(settings)
    const statements = [...this.#statements.values()].map(([one]) => one!)
    const matches = state.restore({ items, statements, events, commands })
    const expected = new Map(
      matches.map(({ id, differenceMinor, amountMinor, ...match }) => [
        id,
        [{ ...match, difference: differenceMinor, amount: amountMinor }],
      ]),
    )
    await this.#compare('recon_matches', expected, () => false)
    const rows = [...breaks].map(([id, now]) => {
      const item = state.item(isDispute(id) ? now.related[0]! : id)
      return [id, [breakRow(now, item, versions.get(id)!)]] as const
    })
    await this.#compare('recon_breaks', new Map(rows), () => false)
  }
}

const settingsOf = (text: string): PairSettings | null => {
  try {
    return parsePair(text)
  } catch (error) {
    if (error instanceof ConfigurationError) return null
    throw error
  }
}

/** All that ever asked for settings of a pair, also those that were refused. */
const ordersOf = (pair: string, { records }: Stretch<CommandValue>): CommandValue[] =>
  records.flatMap(({ value }) =>
    'unreadable' in value || value.pair !== pair || value.kind !== 'set_pair' || !isCommandId(value.id)
      ? []
      : [value],
  )

/** Those that were taken, in their order: with accounts, which stay. */
function acceptedOf(orders: readonly CommandValue[]): string[] {
  const accepted: string[] = []
  for (const { pair, body, actor } of orders) {
    if (refusalOfSettings({ pair, body, actor }, accepted.at(-1), parsePair) === null) accepted.push(body)
  }
  return accepted
}

const mapped = <T>(rows: ReadonlyMap<string, readonly T[]>, row: (one: T) => unknown) =>
  new Map([...rows].map(([key, ones]) => [key, ones.map(row)]))

const itemRow = (item: MatchItem) => ({
  item: JSON.parse(itemJson(item)) as unknown,
  ...placeOf(item),
})

const placeOf = (item: MatchItem | null) => ({
  side: item?.side ?? null,
  account: item?.account ?? null,
  currency: item?.currency ?? null,
  amount: item?.amountMinor ?? null,
  day: item === null ? null : dayOf(item),
})

const statementRow = (statement: PairStatement) => ({
  statement: JSON.parse(statementJson(statement)) as unknown,
})

const breakRow = (now: BreakState, item: MatchItem | null, version: bigint) => ({
  status: now.status,
  kind: now.kind,
  owner: now.owner,
  severity: now.severity,
  opened_at_ms: now.openedAtMs,
  version,
  ...placeOf(item),
})

/** An item as it is stored; null where it was damaged. */
function storedItem(item: unknown): MatchItem | null {
  try {
    const { amountMinor, original, ...rest } = item as MatchItem
    const amount = original === null ? null : { ...original, amountMinor: BigInt(original.amountMinor) }
    return { ...rest, amountMinor: BigInt(amountMinor), original: amount }
  } catch {
    return null
  }
}

const sequenceOfItem = (id: string): bigint => BigInt(/^ledger:(\d+)\./.exec(id)?.[1] ?? 0)
