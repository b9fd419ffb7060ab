/** `demo`: everything on this machine: starts the services, streams generated transactions and shows that the sums are right. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import { type ApiServer, startApi } from '#api/server.ts'
import { BulkClient } from '#cli/bulk-client.ts'
import { addCommand, type CommandContext, type CommandResult, exitCodes } from '#cli/command.ts'
import { applyTopics } from '#cli/commands/topics.ts'
import { readServedBalances } from '#cli/demo/balance-reader.ts'
import { demoRulebook, EMPTY_RULEBOOK, readFindings } from '#cli/demo/fraud.ts'
import { type LatencySummary, measureLatency } from '#cli/demo/latency.ts'
import { type DemoReport, reportText } from '#cli/demo/report.ts'
import { choice, wholeOf } from '#cli/options.ts'
import { LOGIC_VERSION } from '#domain/ledger/state.ts'
import { formatMinorAmount } from '#domain/money/amount.ts'
import { currencyByCode, currencyByNumeric } from '#domain/money/currency.ts'
import { maskCardNumbers } from '#domain/transactions/card-numbers.ts'
import { startStack } from '#infra/local/stack.ts'
import { checkExpectation, ownOutcomes } from '#loadtest/generator/expectation.ts'
import {
  type PublishSummary,
  publishReference,
  publishTransactions,
} from '#loadtest/generator/publish-run.ts'
import type { RunPlan } from '#loadtest/generator/run.ts'
import { bringRulebook, rulebookInForce } from '#loadtest/generator/rulebook.ts'
import { planRun } from '#loadtest/generator/run-plan.ts'
import { type Configuration, resolveConfiguration } from '#platform/config/configuration.ts'
import { processEnvironment } from '#platform/config/environment.ts'
import { ConfigurationError, OperatingError } from '#platform/errors.ts'
import { makeEngineMetrics } from '#platform/observability/engine-metrics.ts'
import { createLogger, type Logger } from '#platform/observability/logger.ts'
import { migrateLedger } from '#platform/postgres/migrate.ts'
import { checkBalances } from '#platform/postgres/queries/check-balances.ts'
import { countFollowUps } from '#platform/postgres/queries/count-follow-ups.ts'
import { readBalances } from '#platform/postgres/queries/read-balances.ts'
import { readProgress } from '#platform/postgres/queries/read-progress.ts'
import { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { startPipeline } from '#processors/pipeline.ts'

interface DemoOptions {
  transactions: string
  accounts: string
  fraud: string
  once?: boolean
}

const READY_TIMEOUT_MS = 30_000
const WATCH_EVERY_MS = 1_000
const PROBE = { from: 'external:demo', to: 'demo:latency', currency: 'EUR' }

/** Registers `demo`. */
export function registerDemo(program: Command): void {
  const environment = processEnvironment()
  addCommand<DemoOptions>(program, {
    usage: 'demo',
    summary: 'start everything, stream generated transactions, check every sum; stays up until Ctrl-C',
    example: 'demo --transactions 50000 --once',
    configure: (command) =>
      command
        .option(
          '--transactions <n>',
          'how many (DEMO_TRANSACTIONS)',
          environment.DEMO_TRANSACTIONS ?? '50000',
        )
        .option('--accounts <n>', 'customers, about', '2000')
        .addOption(
          choice('--fraud <switch>', 'the built-in fraud rulebook and its model (DEMO_FRAUD)', [
            'on',
            'off',
          ]).default(environment.DEMO_FRAUD ?? 'on'),
        )
        .option('--once', 'end after the checks (DEMO_ONCE=1)', environment.DEMO_ONCE === '1'),
    run: runDemo,
  })
}

async function runDemo(context: CommandContext, options: DemoOptions): Promise<CommandResult> {
  const startedAtMs = performance.now()
  const transactions = wholeOf(options.transactions, '--transactions', { min: 1, max: 10_000_000 })
  const accounts = wholeOf(options.accounts, '--accounts', { min: 10, max: 1_000_000 })
  if (options.fraud !== 'on' && options.fraud !== 'off')
    throw new ConfigurationError(`expected DEMO_FRAUD to be on or off, got ${JSON.stringify(options.fraud)}`)
  const configuration = await startServices(context)
  const logger = createLogger({ level: 'error', service: 'demo', redactText: maskCardNumbers })
  await startEngine(context, configuration, logger)
  const api = await startServer(context, configuration, logger)
  const client = new BulkClient(context, configuration)
  const seed = Date.now() % 1_000_000_000
  const plan = planRun({
    run: `d${seed.toString(36)}`,
    seed,
    transactions,
    accounts,
    endTimeMs: await client.ledgerTimeMs(),
    mix: 'default',
  })
  const report = await stream(context, client, plan, { api, startedAtMs, hasFraud: options.fraud === 'on' })
  const text = reportText(report, { staysUp: options.once !== true })
  if (options.once === true || context.signal.aborted) {
    return { json: report, text, exitCode: report.ok ? exitCodes.ok : exitCodes.difference }
  }
  if (!context.json) process.stdout.write(`${text}\n`)
  context.progress(
    'everything stays up until Ctrl-C, which ends what was started here; the data stays in .tallystream (make clean deletes it)',
  )
  await context.untilStopped()
  return { json: report, exitCode: report.ok ? exitCodes.ok : exitCodes.difference }
}

/** The services that the environment doesn't name are started here; they end with this process. */
async function startServices(context: CommandContext): Promise<Configuration> {
  context.progress('starting broker, registry, Postgres and Redis')
  const stack = await startStack({ mode: 'attached', onProgress: context.progress, signal: context.signal })
  context.onClose(() => stack.stop())
  const environment = processEnvironment()
  const configuration = resolveConfiguration(
    {
      ...environment,
      // Its accounts and fraud rules stay out of the ledger that is used by hand.
      LEDGER: environment.LEDGER ?? 'demo',
      API_PORT: environment.API_PORT ?? '0',
      COMPAT_OPEN_ACCOUNTS: environment.COMPAT_OPEN_ACCOUNTS ?? 'true',
    },
    { localEndpoints: stack.endpoints },
  )
  const { ledger, postgres } = configuration
  context.progress('migrating, creating topics, registering schemas')
  await migrateLedger(postgres, { ledger: ledger.name, nowMs: Date.now(), logicVersion: LOGIC_VERSION })
  await applyTopics(configuration, 1)
  return configuration
}

async function startEngine(
  context: CommandContext,
  configuration: Configuration,
  logger: Logger,
): Promise<void> {
  context.progress('starting processor, publisher, ticker and API')
  const pipeline = await startPipeline({
    configuration,
    roles: ['processor', 'publisher', 'ticker'],
    logger,
    metrics: makeEngineMetrics(),
    onIncident: (incident) => context.progress(`incident ${incident.code}: ${incident.message}`),
  })
  context.onClose(() => pipeline.stop())
  // Whatever stops the engine by itself stops the demo: it would only wait for ever.
  pipeline.ended.catch((error: unknown) => logger.error({ err: error }, 'the engine has stopped'))
  const deadline = performance.now() + READY_TIMEOUT_MS
  while (!pipeline.ready()) {
    if (performance.now() > deadline)
      throw new OperatingError('demo_not_ready', 'the engine did not get ready')
    await sleep(50)
  }
}

async function startServer(
  context: CommandContext,
  configuration: Configuration,
  logger: Logger,
): Promise<ApiServer> {
  const server = await startApi({ configuration, logger })
  context.onClose(() => server.close())
  return server
}

async function stream(
  context: CommandContext,
  client: BulkClient,
  plan: RunPlan,
  { api, startedAtMs, hasFraud }: { api: ApiServer; startedAtMs: number; hasFraud: boolean },
): Promise<DemoReport> {
  const publisher = await client.publisher()
  const publishing = {
    publisher,
    awaitApplied: (positions: Parameters<BulkClient['awaitApplied']>[0]) => client.awaitApplied(positions),
    signal: context.signal,
    onProgress: context.progress,
  }
  await publishReference(plan, publishing)
  await client.awaitApplied(await publisher.accounts(probeAccounts()))
  await bringFraudRules(client, hasFraud)
  const { sequence: before } = (await readProgress(client.pool))!
  const firstAppliedMs = performance.now() - startedAtMs
  context.progress(`streaming ${plan.transactions} transactions`)
  const streamStartedMs = performance.now()
  const summary = await publishTransactions(plan, publishing)
  await watch(context, client, summary)
  const streamMs = performance.now() - streamStartedMs
  context.progress('measuring latency by single payments over HTTP')
  const latency = await measureLatency(api.url, PROBE)
  context.progress('checking every balance: Redis, Postgres, fold of entries, independent model')
  return check(client, plan, summary, { api, latency, streamMs, firstAppliedMs, before })
}

/** The built-in rulebook and model, or none: a demo before this one may have left them in force. */
async function bringFraudRules(client: BulkClient, hasFraud: boolean): Promise<void> {
  if (!hasFraud && (await rulebookInForce(client.pool)) === null) return
  await bringRulebook(hasFraud ? demoRulebook() : EMPTY_RULEBOOK, {
    publisher: await client.publisher(),
    pool: client.pool,
    awaitApplied: (positions) => client.awaitApplied(positions),
    actor: 'demo',
  })
}

/** Shows how far it is until all is applied and published. */
async function watch(context: CommandContext, client: BulkClient, summary: PublishSummary): Promise<void> {
  const done = client.awaitApplied(summary.positions)
  let finished = false
  const watching = (async () => {
    while (!finished) {
      await sleep(WATCH_EVERY_MS)
      const progress = await readProgress(client.pool)
      if (!finished && progress !== undefined) {
        const { sequence, publishedSequence } = progress
        context.progress(`  the ledger so far: ${sequence} batches decided, ${publishedSequence} published`)
      }
    }
  })()
  try {
    await done
  } finally {
    finished = true
    await watching
  }
}

const probeAccounts = () =>
  [PROBE.from, PROBE.to].map((accountId) => ({
    action: 'open' as const,
    accountId,
    currency: PROBE.currency,
    accountClass: accountId === PROBE.from ? ('external' as const) : ('customer' as const),
    normalSide: 'credit' as const,
    limited: accountId !== PROBE.from,
    overdraftLimit: 0n,
    reversalMayOverdraw: false,
    actor: 'demo',
    occurredAt: Date.now(),
  }))

async function check(
  client: BulkClient,
  plan: RunPlan,
  summary: PublishSummary,
  measured: {
    api: ApiServer
    latency: LatencySummary
    streamMs: number
    firstAppliedMs: number
    /** Sequence of the last batch before the stream. */
    before: bigint
  },
): Promise<DemoReport> {
  await publishedUpTo(client)
  const expectation = await checkExpectation(summary.expectation, { pool: client.pool })
  const ledger = await checkBalances(client.pool)
  const accountIds = [...new Set(plan.accounts.map((account) => account.accountId))]
  const served = await compareServed(client, measured.api.url, accountIds)
  const sums = [...ledger.sums].map(([numeric, sum]) => {
    const currency = currencyByNumeric(numeric)!
    return { currency: currency.code, sum: formatMinorAmount(sum, currency.exponent) }
  })
  const isZero = [...ledger.sums.values()].every((sum) => sum === 0n)
  return {
    ok:
      isZero &&
      ledger.foldMismatches === 0 &&
      served.mismatches === 0 &&
      expectation.differences.length === 0 &&
      served.cached > 0,
    transactions: plan.transactions,
    outcomes: ownOutcomes(summary.expectation),
    funding: plan.funding.length,
    followUps: await countFollowUps(client.pool, plan.source),
    fraud: await readFindings(client.pool, new SchemaRegistry(client.configuration.schemaRegistry), {
      source: plan.source,
      after: measured.before,
      through: (await readProgress(client.pool))!.sequence,
    }),
    perSecond: Math.round((plan.transactions / measured.streamMs) * 1_000),
    firstAppliedMs: Math.round(measured.firstAppliedMs),
    latency: measured.latency,
    sums,
    accounts: ledger.accounts,
    foldMismatches: ledger.foldMismatches,
    servedAccounts: accountIds.length,
    servedFromRedis: served.cached,
    servedMismatches: served.mismatches,
    modelDifferences: expectation.differences.length,
    urls: {
      api: measured.api.url,
      docs: `${measured.api.url}/docs`,
      metrics: `${measured.api.url}/metrics`,
      balance: `${measured.api.url}/balance/${encodeURIComponent(accountIds.find((id) => id.startsWith('cust:')) ?? accountIds[0]!)}`,
    },
  }
}

/** Redis follows the publisher: what was published is in it. */
async function publishedUpTo(client: BulkClient): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS
  let head: bigint | null = null
  for (;;) {
    const progress = (await readProgress(client.pool))!
    head ??= progress.sequence
    if (progress.publishedSequence >= head) return
    if (performance.now() > deadline)
      throw new OperatingError('demo_not_published', 'publishing did not finish')
    await sleep(50)
  }
}

/** Reads twice: the first time fills Redis, the second is answered by it. */
async function compareServed(
  client: BulkClient,
  baseUrl: string,
  accountIds: readonly string[],
): Promise<{ cached: number; mismatches: number }> {
  await readServedBalances(baseUrl, accountIds)
  const served = await readServedBalances(baseUrl, accountIds)
  const stored = new Map((await readBalances(client.pool, accountIds)).map((b) => [b.accountId, b]))
  let mismatches = 0
  for (const { account_id, balance } of served) {
    const truth = stored.get(account_id)!
    const shown = truth.normalSide === 'credit' ? truth.posted : -truth.posted
    const expected = formatMinorAmount(shown, currencyByCode(truth.currency)!.exponent)
    if (Number(expected) !== Number(balance)) mismatches += 1
  }
  return { cached: served.filter((answer) => answer.cached).length, mismatches }
}
