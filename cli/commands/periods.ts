/** `periods list | show | close | drop | horizons`: closings of calendar months, and what may go of the history. */
import type { Command } from 'commander'
import { presentedPosted, showAmount } from '#api/amounts.ts'
import { addCommand, type CommandContext, type CommandResult, exitCodes } from '#cli/command.ts'
import { loadConfiguration } from '#cli/configuration.ts'
import { openReader } from '#cli/ledger-client.ts'
import { actorOf, type ActorOptions, wholeOf, withActorOption } from '#cli/options.ts'
import { details, table } from '#cli/table.ts'
import type { CurrencyTotal } from '#domain/ledger/closing.ts'
import { isMonth } from '#domain/time/months.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import { ConfigurationError, OperatingError } from '#platform/errors.ts'
import { type EnginePool, makeEnginePool } from '#platform/postgres/engine-pool.ts'
import { closePeriods } from '#platform/postgres/periods/close.ts'
import { dropPeriods } from '#platform/postgres/periods/drop.ts'
import { type ClosedPeriod, readPeriods } from '#platform/postgres/periods/period-rows.ts'
import { readAccountClosing } from '#platform/postgres/periods/read-account-closing.ts'
import { type PeriodFinding, verifyPeriods } from '#platform/postgres/periods/verify.ts'
import { registerHorizons } from './horizons.ts'

/** Of one slice of a closing, or of one verification: years may lie in it. */
const STATEMENT_TIMEOUT_MS = 600_000
const KEEP_MONTHS_MAX = 1_200

/** Registers `periods` and its subcommands. */
export function registerPeriods(program: Command): void {
  const periods = program
    .command('periods')
    .description('closings of calendar months (UTC, recorded time), and what may go of the history')
  addList(periods)
  addShow(periods)
  addClose(periods)
  addDrop(periods)
  registerHorizons(periods)
}

/** A pool that may write. @throws ConfigurationError where the ledger has no tables; UnreachableError */
async function openPeriods(
  context: CommandContext,
): Promise<{ pool: EnginePool; configuration: Configuration }> {
  // Looks whether the ledger is there, and says what to do where it isn't.
  await openReader(context)
  const configuration = loadConfiguration()
  const pool = makeEnginePool(configuration.postgres, {
    applicationName: 'tallystream periods',
    connectionsMax: 1,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
  })
  context.onClose(() => pool.end())
  return { pool, configuration }
}

const showTotal = (total: CurrencyTotal) => ({
  currency: total.currency,
  accounts: total.accounts,
  opening: showAmount(total.opening, total.currency),
  debits: showAmount(total.debits, total.currency),
  credits: showAmount(total.credits, total.currency),
  closing: showAmount(total.closing, total.currency),
})

const showPeriod = (period: ClosedPeriod) => ({
  period: period.period,
  state: period.droppedAt === null ? 'closed' : 'dropped',
  first_sequence: period.firstSequence,
  last_sequence: period.lastSequence,
  chain: { sequence: period.chainSequence, hash: period.chainHash.toString('hex') },
  accounts: period.accounts,
  cards: period.cards,
  postings: period.postings,
  totals: period.totals.map(showTotal),
  previous_hash: period.previousHash.toString('hex'),
  hash: period.hash.toString('hex'),
  closed_at: period.closedAt.toISOString(),
  closed_by: period.actor,
  dropped_at: period.droppedAt?.toISOString() ?? null,
  dropped_by: period.droppedBy,
})

function listText(periods: readonly ClosedPeriod[]): string {
  if (periods.length === 0) return 'no period is closed yet'
  const rows = periods.map((period) => [
    period.period,
    period.droppedAt === null ? 'closed' : 'dropped',
    `${period.firstSequence ?? '-'}..${period.lastSequence ?? '-'}`,
    String(period.accounts),
    String(period.postings),
    period.hash.toString('hex').slice(0, 16),
    period.actor,
  ])
  return table([['period', '', 'batches', 'accounts', 'postings', 'hash', 'by'], ...rows], [3, 4])
}

const findingsText = (findings: readonly PeriodFinding[]): string =>
  table(findings.map(({ period, kind, account, detail }) => [period, kind, account ?? '', detail]))

/** What `--verify` adds to a result. */
async function verified(
  context: CommandContext,
  pool: EnginePool,
  period?: string,
): Promise<{ json: object; text: string; exitCode: 0 | 1 }> {
  const { signal } = context
  const findings = await verifyPeriods(pool, period === undefined ? { signal } : { signal, period })
  const ok = findings.length === 0
  return {
    json: { verified: ok, findings },
    text: ok ? '\nverified: as it was closed' : `\n${findingsText(findings)}`,
    exitCode: ok ? exitCodes.ok : exitCodes.difference,
  }
}

function addList(periods: Command): void {
  addCommand<{ verify?: boolean }>(periods, {
    usage: 'list',
    summary: 'list closed periods, oldest first',
    example: 'periods list --verify',
    configure: (command) =>
      command.option('--verify', 'check every closing: hashes, chain, sums, and entries where they are kept'),
    run: async (context, options): Promise<CommandResult> => {
      const { pool } = await openPeriods(context)
      const found = await readPeriods(pool)
      const check = options.verify === true ? await verified(context, pool) : undefined
      return {
        json: { periods: found.map(showPeriod), ...check?.json },
        text: listText(found) + (check?.text ?? ''),
        ...(check === undefined ? {} : { exitCode: check.exitCode }),
      }
    },
  })
}

function periodOf(text: string | undefined): string {
  if (text !== undefined && isMonth(text)) return text
  throw new ConfigurationError(`expected a period as YYYY-MM, got ${JSON.stringify(text)}`)
}

function addShow(periods: Command): void {
  addCommand<{ verify?: boolean; account?: string }>(periods, {
    usage: 'show <period>',
    audited: true,
    summary: "show a period's closing: turnover and balances by currency, or of one account",
    example: 'periods show 2026-01 --account alice --verify',
    configure: (command) =>
      command
        .option('--account <id>', "this account's opening, debits, credits and closing")
        .option('--verify', 'check the closing: hash, chain, sums, and entries where they are kept'),
    run: async (context, options, [text]): Promise<CommandResult> => {
      const period = periodOf(text)
      const { pool } = await openPeriods(context)
      const found = (await readPeriods(pool)).find((each) => each.period === period)
      if (found === undefined) throw new OperatingError('period_not_closed', `${period} is not closed`)
      const account = options.account === undefined ? null : await accountOf(pool, period, options.account)
      const check = options.verify === true ? await verified(context, pool, period) : undefined
      const shown = showPeriod(found)
      return {
        json: { ...shown, ...(account === null ? {} : { account }), ...check?.json },
        text: `${periodText(shown)}${account === null ? '' : `\n\n${accountText(account)}`}${check?.text ?? ''}`,
        ...(check === undefined ? {} : { exitCode: check.exitCode }),
      }
    },
  })
}

function periodText(shown: ReturnType<typeof showPeriod>): string {
  const properties = details([
    ['period', `${shown.period} (${shown.state})`],
    ['batches', `${shown.first_sequence ?? '-'}..${shown.last_sequence ?? '-'}`],
    ['postings', String(shown.postings)],
    ['closed', `${shown.closed_at} by ${shown.closed_by}`],
    ...(shown.dropped_at === null
      ? []
      : [['dropped', `${shown.dropped_at} by ${shown.dropped_by}`] as const]),
    ['hash', shown.hash],
    ['chain', `batch ${shown.chain.sequence}, ${shown.chain.hash}`],
  ])
  const rows = shown.totals.map((total) => [
    total.currency,
    String(total.accounts),
    total.opening,
    total.debits,
    total.credits,
    total.closing,
  ])
  return `${properties}\n\n${table([['currency', 'accounts', 'opening', 'debits', 'credits', 'closing'], ...rows], [1, 2, 3, 4, 5])}`
}

/** Balances positive on the account's normal side. @throws OperatingError `account_not_closed` */
async function accountOf(pool: EnginePool, period: string, accountId: string) {
  const closing = await readAccountClosing(pool, period, accountId)
  if (closing === undefined) {
    throw new OperatingError(
      'account_not_closed',
      `${accountId} neither moved in ${period} nor had a balance`,
    )
  }
  const { currency, normalSide } = closing
  return {
    account_id: closing.accountId,
    currency,
    opening: showAmount(presentedPosted(closing.opening, normalSide), currency),
    debits: showAmount(closing.debits, currency),
    debit_count: closing.debitCount,
    credits: showAmount(closing.credits, currency),
    credit_count: closing.creditCount,
    closing: showAmount(presentedPosted(closing.closing, normalSide), currency),
    version: closing.version,
  }
}

const accountText = (account: Awaited<ReturnType<typeof accountOf>>): string =>
  table(
    [
      ['account', 'currency', 'opening', 'debits', 'credits', 'closing'],
      [
        account.account_id,
        account.currency,
        account.opening,
        account.debits,
        account.credits,
        account.closing,
      ],
    ],
    [2, 3, 4, 5],
  )

function addClose(periods: Command): void {
  addCommand<ActorOptions>(periods, {
    usage: 'close',
    audited: true,
    summary: 'close every complete period that is not closed yet; the engine does so by itself',
    example: 'periods close --actor accounting',
    configure: withActorOption,
    run: async (context, options): Promise<CommandResult> => {
      const actor = actorOf(options)
      const { pool } = await openPeriods(context)
      const { closed, findings } = await closePeriods(pool, {
        actor,
        signal: context.signal,
        onSlice: ({ period, accounts, of }) => context.progress(`${period}: ${accounts} of ${of} accounts`),
      })
      const text = closed.length === 0 ? 'nothing closed' : listText(closed)
      if (findings.length === 0) return { json: { closed: closed.map(showPeriod), findings }, text }
      const wrong = table(findings.map(({ period, kind, key, detail }) => [period, kind, key, detail]))
      return {
        json: { closed: closed.map(showPeriod), findings },
        text: `${text}\n${wrong}`,
        exitCode: exitCodes.difference,
      }
    },
  })
}

interface DropOptions extends ActorOptions {
  keepMonths?: string
  withoutArchive?: boolean
  dryRun?: boolean
}

function addDrop(periods: Command): void {
  addCommand<DropOptions>(periods, {
    usage: 'drop',
    audited: true,
    summary: 'drop the rows of closed periods that are older than what is kept',
    example: 'periods drop --keep-months 24 --dry-run',
    configure: (command) =>
      withActorOption(command)
        .option('--keep-months <n>', 'whole months before the current one that stay (RETENTION_MONTHS)')
        .option('--without-archive', 'also where the archive does not hold them (RETENTION_WITHOUT_ARCHIVE)')
        .option('--dry-run', 'only say what would be dropped'),
    run: async (context, options): Promise<CommandResult> => {
      const actor = actorOf(options)
      const { pool, configuration } = await openPeriods(context)
      const { retention } = configuration
      const keepMonths =
        options.keepMonths === undefined
          ? retention.keepMonths
          : wholeOf(options.keepMonths, '--keep-months', { min: 1, max: KEEP_MONTHS_MAX })
      if (keepMonths === null) {
        throw new ConfigurationError(
          'expected --keep-months or RETENTION_MONTHS, got neither: everything is kept',
        )
      }
      const dryRun = options.dryRun === true
      const { dropped, kept } = await dropPeriods(pool, {
        actor,
        keepMonths,
        withoutArchive: options.withoutArchive ?? retention.withoutArchive,
        dryRun,
        signal: context.signal,
      })
      const word = dryRun ? 'would be dropped' : 'dropped'
      const done = dropped.length === 0 ? `nothing ${word}` : `${word}: ${dropped.join(', ')}`
      return {
        json: { dropped, kept, dry_run: dryRun },
        text: kept === null ? done : `${done}\n${kept.period} stays (${kept.reason}): ${kept.detail}`,
        ...(kept === null ? {} : { exitCode: exitCodes.difference }),
      }
    },
  })
}
