/** `fraud backtest`: what another rulebook would have done on the ledger's own payments. */
import type { Command } from 'commander'
import { showAmount } from '#api/amounts.ts'
import { addCommand, type CommandContext, type CommandResult } from '#cli/command.ts'
import { readRulebook, withModelOption } from '#cli/fraud/files.ts'
import { openReader } from '#cli/ledger-client.ts'
import { momentOf } from '#cli/options.ts'
import { table } from '#cli/table.ts'
import { readLabelFile } from '#connectors/fraud/label-file.ts'
import { backtestLedger } from '#processors/backtesting.ts'
import type { BacktestResult, Deeds } from '#processors/fraud/backtest.ts'

interface BacktestOptions {
  rules: string
  model?: string
  from?: string
  labels?: string
}

/** Registers the subcommand. */
export function addBacktest(fraud: Command): void {
  addCommand<BacktestOptions>(fraud, {
    usage: 'backtest',
    audited: true,
    summary: "run a rulebook over the ledger's payments and show what it would have done instead",
    example: 'fraud backtest --rules my_rules.json --from 2026-11-01T00:00:00Z',
    configure: (command) =>
      withModelOption(command)
        .requiredOption('--rules <file>', 'the rulebook to try (JSON, docs/fraud.md)')
        .option(
          '--from <time>',
          'count payments from this event time on (ISO 8601); earlier ones fill the features',
        )
        .option(
          '--labels <file>',
          'CSV with transaction_id and fraud (0 or 1); reviews of held payments count besides',
        ),
    run: runBacktest,
  })
}

async function runBacktest(context: CommandContext, options: BacktestOptions): Promise<CommandResult> {
  const { book: candidate } = await readRulebook({ file: options.rules, model: options.model })
  const labels = options.labels === undefined ? null : await readLabelFile(options.labels)
  const { configuration, pool, registry } = await openReader(context)
  const result = await backtestLedger({ configuration, pool }, registry, {
    candidate,
    fromMs: options.from === undefined ? null : momentOf(options.from, '--from').getTime(),
    signal: context.signal,
    labelOf: (id) => labels?.get(id) ?? null,
    progress: (message) => context.progress(message),
  })
  return { json: jsonOf(result), text: textOf(result) }
}

const stoppedOf = ({ stoppedMinor }: Deeds): Record<string, string> =>
  Object.fromEntries(
    Object.entries(stoppedMinor).map(([currency, minor]) => [currency, showAmount(minor, currency)]),
  )

const deedsJson = (deeds: Deeds) => ({
  alerts: deeds.alerts,
  holds: deeds.holds,
  rejects: deeds.rejects,
  stopped: stoppedOf(deeds),
  caught: deeds.caught,
  missed: deeds.missed,
  false_positives: deeds.falsePositives,
})

const jsonOf = (result: BacktestResult) => ({
  payments: result.payments,
  labelled: result.labelled,
  changed: result.changed,
  decided: deedsJson(result.decided),
  candidate: deedsJson(result.candidate),
  rules: result.rules.map(({ ruleId, decided, candidate }) => ({ rule_id: ruleId, decided, candidate })),
  examples: result.examples,
})

function textOf({
  payments,
  labelled,
  changed,
  decided,
  candidate,
  rules,
  examples,
}: BacktestResult): string {
  const line = (name: string, deeds: Deeds): string[] => [
    name,
    ...[deeds.alerts, deeds.holds, deeds.rejects, deeds.caught, deeds.missed, deeds.falsePositives].map(
      String,
    ),
    Object.entries(stoppedOf(deeds))
      .map(([currency, amount]) => `${amount} ${currency}`)
      .join(', ') || '0',
  ]
  const heading = ['', 'alerts', 'holds', 'rejects', 'caught', 'missed', 'false positives', 'money stopped']
  const right = [1, 2, 3, 4, 5, 6, 7]
  return [
    `${payments} payments, ${labelled} of them labelled; ${changed} would have had another action`,
    table([heading, line('as decided', decided), line('candidate', candidate)], right),
    ...(rules.length === 0
      ? []
      : [
          table(
            [
              ['rule', 'as decided', 'candidate'],
              ...rules.map((rule) => [rule.ruleId, String(rule.decided), String(rule.candidate)]),
            ],
            [1, 2],
          ),
        ]),
    ...examples.map((each) =>
      `${each.payment}: ${each.decided} → ${each.candidate} ${each.words.join('; ')}`.trimEnd(),
    ),
  ].join('\n')
}
