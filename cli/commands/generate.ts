/** `generate`: publishes mock transactions, and says what must come of them. */
import { type Command, Option } from 'commander'
import { BulkClient } from '#cli/bulk-client.ts'
import { addCommand, type CommandContext, exitCodes } from '#cli/command.ts'
import { maybeWholeOf, wholeOf } from '#cli/options.ts'
import {
  type CheckResult,
  checkExpectation,
  ownOutcomes,
  writeExpectation,
} from '#loadtest/generator/expectation.ts'
import { type PublishSummary, publishRun } from '#loadtest/generator/publish-run.ts'
import { MIXES, type Mix, type RunPlan } from '#loadtest/generator/run.ts'
import { planRun } from '#loadtest/generator/run-plan.ts'

interface GenerateOptions {
  transactions: string
  accounts: string
  seed?: string
  run?: string
  mix: Mix
  rate?: string
  expect?: string
  check?: boolean
}

/** Registers `generate`. */
export function registerGenerate(program: Command): void {
  addCommand<GenerateOptions>(program, {
    usage: 'generate',
    summary: 'publish mock transactions; accounts, funds, cards and rules first (a processor must run)',
    example: 'generate --transactions 50000 --check',
    configure: (command) =>
      command
        .option('--transactions <n>', 'how many', '50000')
        .option('--accounts <n>', 'customers, about', '2000')
        .option('--seed <n>', 'the same seed gives the same run (default: one that is new)')
        .option('--run <name>', 'put into ids, so that runs do not touch each other (default: from the seed)')
        .addOption(
          new Option(
            '--mix <name>',
            'default: every kind and every bad case; plain, hot, zipf: transfers only, between accounts drawn evenly, all to one, by Zipf’s law',
          )
            .choices(MIXES)
            .default('default'),
        )
        .option(
          '--rate <n>',
          'transactions a second, whether or not the engine keeps up (default: as fast as possible)',
        )
        .option('--expect <file>', 'write what must come of it: balances and counts')
        .option(
          '--check',
          'wait until all is applied and compare with the ledger; exit code 1 on a difference',
        ),
    run: async (context, options) => {
      const client = new BulkClient(context)
      const plan = await makePlan(client, options)
      const summary = await publishRun(plan, {
        publisher: await client.publisher(),
        awaitApplied: (positions) => client.awaitApplied(positions),
        ratePerSecond: maybeWholeOf(options.rate, '--rate', { min: 1, max: 10_000_000 }),
        signal: context.signal,
        onProgress: context.progress,
      })
      if (options.expect !== undefined) await writeExpectation(options.expect, summary.expectation)
      const check = options.check ? await checkRun(client, context, summary) : undefined
      return resultOf(plan, summary, check)
    },
  })
}

async function makePlan(client: BulkClient, options: GenerateOptions): Promise<RunPlan> {
  const range = { min: 1, max: 100_000_000 }
  // A new seed each time: the same run again would be nothing but duplicates.
  const seed =
    maybeWholeOf(options.seed, '--seed', { min: 0, max: Number.MAX_SAFE_INTEGER }) ??
    Date.now() % 1_000_000_000
  return planRun({
    run: options.run ?? `s${seed.toString(36)}`,
    seed,
    transactions: wholeOf(options.transactions, '--transactions', range),
    accounts: wholeOf(options.accounts, '--accounts', range),
    // Event times may not lie beyond the ledger's time, which stands still while no processor runs.
    endTimeMs: await client.ledgerTimeMs(),
    mix: options.mix,
  })
}

async function checkRun(
  client: BulkClient,
  context: CommandContext,
  summary: PublishSummary,
): Promise<CheckResult> {
  await client.awaitApplied(summary.positions)
  context.progress('comparing with the ledger')
  return await checkExpectation(summary.expectation, { pool: client.pool })
}

function resultOf(plan: RunPlan, summary: PublishSummary, check: CheckResult | undefined) {
  const { published, publishMs, publishedPerSecond, expectation } = summary
  const { seed, mix } = expectation
  const outcomes = ownOutcomes(expectation)
  const funding = plan.funding.length
  const json = {
    run: plan.run,
    source: plan.source,
    seed,
    mix,
    accounts: plan.accounts.length,
    published,
    publishMs,
    publishedPerSecond,
    funding,
    expectedOutcomes: outcomes,
    ...(check === undefined ? {} : { check }),
  }
  const differs = check !== undefined && check.differences.length > 0
  const lines = [
    `run ${plan.run} (seed ${seed}): ${published} transactions in ${(publishMs / 1000).toFixed(1)} s (${publishedPerSecond}/s), after ${funding} that funded the accounts`,
    ...Object.entries(outcomes).map(([name, count]) => `  ${String(count).padStart(9)}  ${name}`),
  ]
  if (check !== undefined) {
    lines.push(
      differs
        ? `${check.differences.length} differences:`
        : `as expected: ${check.accounts} accounts, ${check.outcomes} outcomes with the funding`,
      ...check.differences.map((d) => `  ${d.what} ${d.name}: expected ${d.expected}, found ${d.actual}`),
    )
  }
  return { json, text: lines.join('\n'), exitCode: differs ? exitCodes.difference : exitCodes.ok }
}
