/**
 * The engine's rate: preloaded transfers until they are applied, published and in Redis, in processes as in production. The transfers
 * are the generator's, so that what came of them is checked: a wrong result is no rate.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { waitUntilApplied } from '#connectors/ingest/applied.ts'
import type { Environment } from '#platform/config/environment.ts'
import { OperatingError } from '#platform/errors.ts'
import { requireProgress } from '#platform/postgres/queries/read-progress.ts'
import { checkExpectation, type Expectation } from '../../generator/expectation.ts'
import { publishReference, publishTransactions } from '../../generator/publish-run.ts'
import type { Mix, RunPlan } from '../../generator/run.ts'
import { planRun } from '../../generator/run-plan.ts'
import {
  engineFigures,
  MemorySamples,
  type ProcessFigures,
  processFigures,
  timeToReady,
} from '../engine-figures.ts'
import { builtinRulebookJson } from '#domain/fraud/builtin/builtin.ts'
import { bringRulebook } from '#loadtest/generator/rulebook.ts'
import type { BenchLedger, Lab, LedgerOptions } from '../lab.ts'
import type { Measurement } from '../measure.ts'
import { resetStatements, statementTimes } from '../statement-times.ts'
import { significant } from '../statistics.ts'

export interface EngineOptions extends LedgerOptions {
  readonly mix?: Mix
  readonly processors?: number
  /** Whether the built-in rulebook is in force; it is unless told. */
  readonly fraud?: boolean
  /** Beside each other; each gets its share of the transfers. */
  readonly ledgers?: number
  /** Looks at the ledgers when all is measured and right, before they are removed. */
  readonly after?: (ledger: BenchLedger) => Promise<void>
}

const TIMEOUT_MS = 600_000
/** Of what comes within seconds unless something is wrong. */
const UNTIL_TIMEOUT_MS = 90_000
const IDLE_TIMEOUT_MS = 60_000
const LOOK_EVERY_MS = 25

/** Measures one ledger or several. @throws OperatingError `bench_wrong_result`, `bench_timeout` */
export function measureEngine(lab: Lab, options: EngineOptions = {}): Promise<Measurement> {
  const { ledgers = 1, processors = 1 } = options
  return lab.withLedgers(ledgers, options, async (made) => {
    const transfers = Math.ceil(lab.extent.transfers / ledgers)
    const loads: Preloaded[] = []
    for (const ledger of made) {
      loads.push(await preload(lab, ledger, { transfers, mix: options.mix, fraud: options.fraud }))
    }
    const measured = await applyPreloaded(lab, loads, processors)
    for (const { ledger, expectation } of loads) await expectRight(ledger, expectation)
    for (const { ledger } of loads) await options.after?.(ledger)
    return measured
  })
}

/** Runs the engine until what waits is applied and published. */
export async function applyPreloaded(
  lab: Lab,
  loads: readonly Preloaded[],
  processors = 1,
): Promise<Measurement> {
  lab.progress(`applying ${loads.reduce((sum, { transfers }) => sum + transfers, 0)} transfers`)
  for (const { ledger } of loads) startEngine(ledger, processors)
  const measured = await measure(lab, loads, processors)
  for (const { ledger } of loads) await ledger.engines.stopAll()
  return measured
}

export interface Preloaded {
  readonly ledger: BenchLedger
  readonly plan: RunPlan
  readonly expectation: Expectation
  readonly transfers: number
}

/** Opens and funds the accounts, and puts the transfers into the topic; nothing runs on the ledger afterwards. */
export async function preload(
  lab: Lab,
  ledger: BenchLedger,
  options: { transfers: number; mix?: Mix | undefined; fraud?: boolean | undefined },
): Promise<Preloaded> {
  const plan = await planFor(lab, ledger, options)
  startEngine(ledger, 1)
  await openLedger(lab, ledger, plan, options)
  await ledger.engines.stopAll()
  const { expectation } = await publishTransactions(plan, publishingOn(lab, ledger))
  return { ledger, plan, expectation, transfers: options.transfers }
}

/** Opens and funds the accounts of a plan and puts the built-in rulebook into force; an engine must run. */
export async function openLedger(
  lab: Lab,
  ledger: BenchLedger,
  plan: RunPlan,
  options: { fraud?: boolean | undefined } = {},
): Promise<void> {
  const publishing = publishingOn(lab, ledger)
  await publishReference(plan, publishing)
  if (options.fraud !== false)
    await bringRulebook(JSON.stringify(builtinRulebookJson()), {
      ...ledger,
      awaitApplied: publishing.awaitApplied,
      actor: 'bench',
    })
  await untilPublished(lab, ledger)
}

export async function planFor(
  lab: Lab,
  { configuration, pool }: BenchLedger,
  { transfers, mix = 'plain' }: { transfers: number; mix?: Mix | undefined },
): Promise<RunPlan> {
  return planRun({
    run: `b${Date.now().toString(36)}`,
    seed: Date.now() % 1_000_000_000,
    transactions: transfers,
    accounts: lab.extent.accounts,
    endTimeMs: (await requireProgress(pool, configuration.ledger.name)).tickMs,
    mix,
  })
}

/** What publishing a plan needs of a ledger. */
export const publishingOn = (lab: Lab, { configuration, pool, publisher }: BenchLedger) => {
  const { clusterId, topicPrefix } = configuration.ledger
  const { signal } = lab
  return {
    publisher,
    signal,
    awaitApplied: (positions: Parameters<typeof waitUntilApplied>[0]) =>
      waitUntilApplied(positions, { pool, clusterId, topicPrefix, idleTimeoutMs: IDLE_TIMEOUT_MS, signal }),
  }
}

/** As in production: deciding and publishing in processes of their own. */
export const startEngine = ({ engines }: BenchLedger, processors: number): void => {
  for (let place = 0; place < processors; place += 1) engines.start({ roles: 'processor' })
  engines.start({ roles: 'publisher,ticker' })
}

/** Waits until everything that is applied is published. @throws OperatingError `bench_timeout` */
export async function untilPublished(lab: Lab, ledger: BenchLedger): Promise<void> {
  await until(lab, ledger, async () => {
    const { sequence, published } = await look(ledger)
    return published >= sequence
  })
}

/** Looks until it holds. @throws OperatingError `bench_timeout` with what the processes said last */
export async function until(lab: Lab, ledger: BenchLedger, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + UNTIL_TIMEOUT_MS
  while (!(await holds())) {
    lab.signal.throwIfAborted()
    if (performance.now() > deadline || ledger.engines.endedByThemselves.length > 0) {
      throw new OperatingError('bench_timeout', lastWords(ledger))
    }
    await sleep(LOOK_EVERY_MS)
  }
}

const lastWords = ({ engines }: BenchLedger): string =>
  [
    ...engines.endedByThemselves,
    ...engines.running.flatMap(({ name, lines }) => [`${name} said last:`, ...lines.slice(-5)]),
  ].join('\n')

/** @throws OperatingError `bench_wrong_result` where a balance or an outcome isn't as it must be */
export async function expectRight({ pool }: BenchLedger, expectation: Expectation): Promise<void> {
  const [difference, ...others] = (await checkExpectation(expectation, { pool })).differences
  if (difference === undefined) return
  const { name, expected, actual } = difference
  const message = `${name}: expected ${expected}, found ${actual}; and ${others.length} more differences`
  throw new OperatingError('bench_wrong_result', message)
}

export interface Look {
  /** Batches committed, and published at least. */
  readonly sequence: bigint
  readonly published: bigint
  /** Records of the topic `transactions` that are applied, and of these published. */
  readonly applied: number
  readonly appliedAndPublished: number
  /** Processors that hold partitions of it. */
  readonly owners: number
  /** Bytes of write-ahead log since Postgres was made. */
  readonly wal: number
}

// One statement, one snapshot: what is counted as published is counted as applied.
const LOOK = `select h.sequence, p.published_sequence as published,
    (select coalesce(sum(next_offset), 0)::float8 from ingest_offsets where topic = 'transactions') as applied,
    (select coalesce(sum(records), 0)::float8 from batches b where b.sequence > p.published_sequence) as unpublished,
    pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 as wal,
    (select count(distinct owner)::int from ingest_offsets where topic = 'transactions' and owner <> '') as owners
  from ledger_head h cross join publisher_progress p`

export async function look({ pool }: BenchLedger): Promise<Look> {
  const [row] = await pool.query<Omit<Look, 'appliedAndPublished'> & { unpublished: number }>({
    name: 'bench-look',
    text: LOOK,
  })
  const { unpublished, ...rest } = row!
  return { ...rest, appliedAndPublished: rest.applied - unpublished }
}

interface Seen {
  readonly atMs: number
  readonly looks: readonly Look[]
  readonly figures: readonly ProcessFigures[]
}

/**
 * The clock starts when every processor has its partitions and every ledger's first records are published, so that start-up isn't
 * measured. It ends when the first ledger is done: beside others that go on, one that has ended leaves its share of the machine to them.
 */
async function measure(lab: Lab, loads: readonly Preloaded[], processors: number): Promise<Measurement> {
  const before = await Promise.all(loads.map(({ ledger }) => look(ledger)))
  const isBegun = (looks: readonly Look[]) =>
    looks.every(
      ({ appliedAndPublished, owners }, place) =>
        owners >= processors && appliedAndPublished > before[place]!.applied,
    )
  const isApplied = (at: Look, place: number) =>
    at.applied >= before[place]!.applied + loads[place]!.transfers
  let begun: Seen | undefined
  let appliedAtMs: number | undefined
  let hasStatements = false
  const memory = new MemorySamples()
  const ready = timeToReady(loads[0]!.ledger.engines.running[0]!)
  const deadline = performance.now() + TIMEOUT_MS
  for (;;) {
    const looks = await Promise.all(loads.map(({ ledger }) => look(ledger)))
    const atMs = performance.now()
    const figures = loads.flatMap(({ ledger }) =>
      ledger.engines.running.map(({ pid }) => processFigures(pid)),
    )
    memory.add(loads, figures, (looks[0]!.applied - before[0]!.applied) / loads[0]!.transfers)
    if (begun === undefined && isBegun(looks)) {
      begun = { atMs, looks, figures }
      hasStatements = await resetStatements(loads[0]!.ledger)
    }
    if (looks.some(isApplied)) appliedAtMs ??= atMs
    const isDone = (at: Look, place: number) => isApplied(at, place) && at.published >= at.sequence
    if (looks.some(isDone)) {
      if (begun === undefined) {
        const message = 'all was applied before every process had begun; ask for more transfers'
        throw new OperatingError('bench_too_short', message)
      }
      const end = { atMs, looks, figures }
      const parts = { begun, end, appliedAtMs: appliedAtMs!, loads, memory, hasStatements }
      const measurement = await resultOf({ ...parts, readySeconds: await ready })
      // The others' results are looked at too.
      for (const [place, { ledger }] of loads.entries()) {
        await until(lab, ledger, async () => isDone(await look(ledger), place))
      }
      return measurement
    }
    if (atMs > deadline || loads.some(({ ledger }) => ledger.engines.endedByThemselves.length > 0)) {
      throw new OperatingError('bench_timeout', loads.map(({ ledger }) => lastWords(ledger)).join('\n'))
    }
    lab.signal.throwIfAborted()
    await sleep(LOOK_EVERY_MS)
  }
}

async function resultOf(of: {
  begun: Seen
  end: Seen
  appliedAtMs: number
  loads: readonly Preloaded[]
  memory: MemorySamples
  hasStatements: boolean
  readySeconds: number | null
}): Promise<Measurement> {
  const { begun, end, loads } = of
  const sum = (seen: Seen, what: 'applied' | 'appliedAndPublished') =>
    seen.looks.reduce((total, each) => total + each[what], 0)
  const seconds = (end.atMs - begun.atMs) / 1_000
  const published = sum(end, 'appliedAndPublished') - sum(begun, 'appliedAndPublished')
  const applied = sum(end, 'applied') - sum(begun, 'applied')
  const processes = loads.flatMap(({ ledger }) => ledger.engines.running)
  return {
    value: published / seconds,
    details: {
      seconds: significant(seconds),
      applied_per_s: significant(applied / Math.max(0.001, (of.appliedAtMs - begun.atMs) / 1_000)),
      wal_bytes_per_transfer: significant((end.looks[0]!.wal - begun.looks[0]!.wal) / applied, 3),
      statements_us_per_transfer: of.hasStatements ? await statementTimes(loads[0]!.ledger, applied) : null,
      ready_s: of.readySeconds,
      rss_mib: of.memory.summary(),
      ...(await engineFigures(processes, { begun, end, transfers: published })),
    },
  }
}

/** The engine with a setting of its own. */
export const engineWith =
  (options: EngineOptions & { environment?: Environment }) =>
  (lab: Lab): Promise<Measurement> =>
    measureEngine(lab, options)
