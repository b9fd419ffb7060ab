/** `rules set | list`: the fraud rules. */
import type { Command } from 'commander'
import { showAmount } from '#api/amounts.ts'
import { addCommand } from '#cli/command.ts'
import { openReader, openWriter } from '#cli/ledger-client.ts'
import {
  actorOf,
  amountOf,
  choice,
  type WriteOptions,
  waitMsOf,
  wholeOf,
  withWriteOptions,
} from '#cli/options.ts'
import { listRules, type StoredRule } from '#platform/postgres/queries/list-rules.ts'
import { table } from '#cli/table.ts'
import { changeResult } from '#cli/writes.ts'
import { isHorizonRule } from '#domain/ledger/horizons.ts'
import { RULEBOOK_RULES } from '#domain/transactions/limits.ts'
import { ConfigurationError } from '#platform/errors.ts'

interface SetOptions extends WriteOptions {
  type: 'amount_limit' | 'velocity_count' | 'velocity_sum'
  threshold: string
  currency?: string
  window?: keyof typeof WINDOWS_MS
  action: string
  off?: boolean
}

const WINDOWS_MS = { '1h': 3_600_000, '24h': 86_400_000 } as const
const COUNT_MAX = 1_000_000_000

/** Registers `rules` and its subcommands. */
export function registerRules(program: Command): void {
  const rules = program
    .command('rules')
    .description('fraud rules: what is alerted, held for review or rejected')
  addSet(rules)
  addCommand(rules, {
    usage: 'list',
    summary: 'list the rules, each with its newest version',
    example: 'rules list',
    run: async (context) => {
      const { pool } = await openReader(context)
      const fraudRules = (await listRules(pool)).filter((rule) => !isHorizonRule(rule) && !isRulebook(rule))
      const shown = fraudRules.map(showRule)
      const rows = shown.map((rule) => [
        rule.rule_id,
        rule.enabled ? 'on' : 'off',
        rule.type,
        `above ${rule.threshold} ${rule.currency ?? ''}`.trimEnd(),
        rule.window ?? '',
        rule.action,
        rule.actor,
      ])
      const heading = ['rule', '', 'looks at', 'fires', 'window', 'action', 'set by']
      return { json: { rules: shown }, text: rows.length === 0 ? 'no rules' : table([heading, ...rows]) }
    },
  })
}

const isRulebook = ({ type }: StoredRule): boolean => (RULEBOOK_RULES as readonly string[]).includes(type)

function addSet(rules: Command): void {
  addCommand<SetOptions>(rules, {
    usage: 'set <rule>',
    audited: true,
    summary: 'make a rule or a new version of it, in force for all that comes after it',
    example: 'rules set large_payment --type amount_limit --currency EUR --threshold 5000.00 --action hold',
    configure: (command) =>
      withWriteOptions(command)
        .addOption(
          choice('--type <type>', 'what it looks at: the amount, or how often or how much an account pays', [
            'amount_limit',
            'velocity_count',
            'velocity_sum',
          ]).makeOptionMandatory(),
        )
        .requiredOption('--threshold <n>', 'fires above it: an amount in major units, or a count')
        .option('--currency <code>', 'only this currency; needed where the threshold is an amount')
        .addOption(choice('--window <time>', 'velocity: the time looked back over', Object.keys(WINDOWS_MS)))
        .addOption(
          choice('--action <action>', 'what firing does', ['alert', 'hold', 'reject']).makeOptionMandatory(),
        )
        .option('--off', 'switch the rule off'),
    run: async (context, options, [ruleId]) => {
      const [actor, waitMs] = [actorOf(options), waitMsOf(options)]
      const { type, currency = null, action, off = false } = options
      const record = {
        ruleId,
        type,
        currency,
        threshold: thresholdOf(options),
        windowMs: windowOf(options),
        action,
        enabled: !off,
        actor,
      }
      const ledger = await openWriter(context)
      const submission = await ledger.submit('rules', ruleId!, record, waitMs)
      const rule = (await listRules(ledger.pool)).find((each) => each.ruleId === ruleId)
      return changeResult(submission, {
        subject: { rule_id: ruleId },
        state: { rule: rule === undefined ? null : showRule(rule) },
        text:
          rule === undefined ? `there is no rule ${ruleId}` : `${ruleId} is ${rule.enabled ? 'on' : 'off'}`,
      })
    },
  })
}

/** Minor units or a count. @throws ConfigurationError */
function thresholdOf({ type, threshold, currency }: SetOptions): bigint {
  if (type === 'velocity_count') return BigInt(wholeOf(threshold, '--threshold', { min: 0, max: COUNT_MAX }))
  if (currency === undefined)
    throw new ConfigurationError(`expected --currency with --type ${type}, got none`)
  return amountOf(threshold, currency, '--threshold')
}

/** @throws ConfigurationError */
function windowOf({ type, window }: SetOptions): number {
  if (type === 'amount_limit') return 0
  if (window === undefined) throw new ConfigurationError(`expected --window with --type ${type}, got none`)
  return WINDOWS_MS[window]
}

const windowName = (windowMs: number): string | null =>
  Object.entries(WINDOWS_MS).find(([, ms]) => ms === windowMs)?.[0] ?? null

function showRule(rule: StoredRule) {
  const isCount = rule.type === 'velocity_count' || rule.currency === null
  return {
    rule_id: rule.ruleId,
    type: rule.type,
    currency: rule.currency,
    threshold: isCount ? rule.threshold.toString() : showAmount(rule.threshold, rule.currency!),
    ...(rule.definition === null ? {} : { of_rule: rule.definition }),
    window: windowName(rule.windowMs),
    action: rule.action,
    enabled: rule.enabled,
    actor: rule.actor,
    version: rule.version.toString(),
  }
}
