/** `accounts open | freeze | unfreeze | close | set-limit | show | list | entries`. */
import { type Command, Option } from 'commander'
import { showAmount } from '#api/amounts.ts'
import { showAccount, showEntry } from '#api/routes/accounts/read-accounts.ts'
import { addCommand, type CommandContext, type CommandResult } from '#cli/command.ts'
import { openReader, openWriter } from '#cli/ledger-client.ts'
import {
  actorOf,
  afterOf,
  amountOf,
  choice,
  limitOf,
  nextOf,
  type PageOptions,
  type WriteOptions,
  waitMsOf,
  withPageOptions,
  withWriteOptions,
} from '#cli/options.ts'
import { listAccounts } from '#platform/postgres/queries/list-accounts.ts'
import { details, moreLine, table } from '#cli/table.ts'
import { changeResult, requireAccount } from '#cli/writes.ts'
import { currencyByCode } from '#domain/money/currency.ts'
import { ACCOUNT_CLASSES, type AccountChange } from '#domain/transactions/command.ts'
import { ConfigurationError } from '#platform/errors.ts'
import { type AccountDetails, readAccount } from '#platform/postgres/queries/read-account.ts'
import { ENTRY_CURSOR_LENGTH, readEntries } from '#platform/postgres/queries/read-entries.ts'

interface LimitOptions extends WriteOptions {
  overdraft?: string
  unlimited?: boolean
}

interface OpenOptions extends LimitOptions {
  currency: string
  class: string
  normalSide: string
  reversalMayOverdraw?: boolean
}

const withLimitOptions = (command: Command): Command =>
  command
    .option('--overdraft <amount>', 'how far below zero it may go, in major units')
    .addOption(
      new Option('--unlimited', 'no limit at all (external, suspense, fee accounts)').conflicts('overdraft'),
    )

/** Registers `accounts` and its subcommands. */
export function registerAccounts(program: Command): void {
  const accounts = program.command('accounts').description('open, change and show accounts')
  addOpen(accounts)
  addStatusChange(accounts, 'freeze', 'let no money in or out, until unfreeze')
  addStatusChange(accounts, 'unfreeze', 'end a freeze')
  addStatusChange(accounts, 'close', 'close for ever; only with a zero balance and nothing reserved')
  addSetLimit(accounts)
  addCommand(accounts, {
    usage: 'show <id>',
    audited: true,
    summary: 'show one account with its balance',
    example: 'accounts show alice',
    run: async (context, _options, [accountId]) => {
      const { pool } = await openReader(context)
      const account = await requireAccount(pool, accountId!)
      return { json: showAccount(account), text: accountText(account) }
    },
  })
  addList(accounts)
  addEntries(accounts)
}

function addOpen(accounts: Command): void {
  addCommand<OpenOptions>(accounts, {
    usage: 'open <id>',
    audited: true,
    summary: 'open an account; again with the same content it changes nothing',
    example: 'accounts open alice --currency EUR --overdraft 100.00',
    configure: (command) =>
      withWriteOptions(withLimitOptions(command))
        .requiredOption('--currency <code>', 'ISO 4217 code')
        .addOption(choice('--class <class>', 'what it is for', ACCOUNT_CLASSES).default('customer'))
        .addOption(
          choice('--normal-side <side>', 'which side increases it', ['debit', 'credit']).default('credit'),
        )
        .option('--reversal-may-overdraw', 'a reversal may pass the limit'),
    run: (context, options, [accountId]) => {
      if (currencyByCode(options.currency) === undefined) {
        throw new ConfigurationError(`expected --currency as an ISO 4217 code, got "${options.currency}"`)
      }
      const { overdraft = '0', unlimited = false, currency } = options
      const overdraftLimit = amountOf(overdraft, currency, '--overdraft')
      return change(context, options, accountId!, () => ({
        action: 'open',
        currency,
        accountClass: options.class,
        normalSide: options.normalSide,
        limited: !unlimited,
        overdraftLimit,
        reversalMayOverdraw: options.reversalMayOverdraw ?? false,
      }))
    },
  })
}

function addStatusChange(accounts: Command, action: 'freeze' | 'unfreeze' | 'close', summary: string): void {
  addCommand<WriteOptions>(accounts, {
    usage: `${action} <id>`,
    audited: true,
    summary,
    example: `accounts ${action} alice`,
    configure: withWriteOptions,
    run: (context, options, [accountId]) => change(context, options, accountId!, () => ({ action })),
  })
}

function addSetLimit(accounts: Command): void {
  addCommand<LimitOptions>(accounts, {
    usage: 'set-limit <id>',
    audited: true,
    summary: 'change how far below zero an account may go',
    example: 'accounts set-limit alice --overdraft 250.00',
    configure: (command) => withWriteOptions(withLimitOptions(command)),
    run: (context, options, [accountId]) => {
      const { overdraft, unlimited } = options
      if (overdraft === undefined && unlimited === undefined) {
        throw new ConfigurationError('expected --overdraft or --unlimited, got neither')
      }
      return change(context, options, accountId!, (account) => ({
        action: 'set_limit',
        limited: overdraft !== undefined,
        // Of an unknown account there is no currency; the amount is then read in any, and the ledger refuses the change.
        overdraftLimit:
          overdraft === undefined ? 0n : amountOf(overdraft, account?.currency ?? 'EUR', '--overdraft'),
      }))
    },
  })
}

type Wanted = Partial<Record<keyof AccountChange, unknown>>

/** Publishes a change and shows the account as it then is. */
async function change(
  context: CommandContext,
  options: WriteOptions,
  accountId: string,
  wanted: (account: AccountDetails | undefined) => Wanted,
): Promise<CommandResult> {
  const [actor, waitMs] = [actorOf(options), waitMsOf(options)]
  const ledger = await openWriter(context)
  const record = { ...wanted(await readAccount(ledger.pool, accountId)), accountId, actor }
  const submission = await ledger.submit('accounts', accountId, record, waitMs)
  const account = await readAccount(ledger.pool, accountId)
  return changeResult(submission, {
    subject: { account_id: accountId },
    state: { account: account === undefined ? null : showAccount(account) },
    text: account === undefined ? `there is no account ${accountId}` : accountText(account),
  })
}

function limitText({ limited, overdraftLimit, currency }: AccountDetails): string {
  if (!limited) return 'none'
  return overdraftLimit === 0n
    ? 'no overdraft'
    : `down to -${showAmount(overdraftLimit, currency)} ${currency}`
}

function accountText(account: AccountDetails): string {
  const shown = showAccount(account) as Record<string, string | null>
  return details([
    ['account', account.accountId],
    ['status', account.status],
    ['class', `${account.accountClass}, ${account.normalSide}-normal`],
    ['balance', `${shown.balance} ${account.currency}`],
    ['available', shown.available === null ? 'no limit' : `${shown.available} ${account.currency}`],
    ['reserved', `${shown.reserved} ${account.currency}`],
    ['limit', limitText(account)],
    ['as of', shown.as_of ?? ''],
  ])
}

function addList(accounts: Command): void {
  addCommand<PageOptions>(accounts, {
    usage: 'list',
    audited: true,
    summary: 'list accounts in order of their ids',
    example: 'accounts list --limit 20 --after alice',
    configure: (command) =>
      command
        .option('--limit <n>', 'most accounts to show', '50')
        .option('--after <id>', 'only accounts with ids above this one'),
    run: async (context, options) => {
      const limit = limitOf(options)
      const { pool } = await openReader(context)
      const { accounts: found, hasMore } = await listAccounts(pool, {
        afterAccountId: options.after ?? '',
        limit,
      })
      const next = hasMore ? (found.at(-1)?.accountId ?? null) : null
      const shown = found.map((account) => showAccount(account) as Record<string, string | null>)
      const rows = found.map((account, place) => {
        const { balance, available } = shown[place]!
        const { accountId, currency, status, accountClass } = account
        return [accountId, currency, status, accountClass, balance ?? '', available ?? 'no limit']
      })
      const heading = ['account', 'currency', 'status', 'class', 'balance', 'available']
      return {
        json: { accounts: shown, next },
        text: rows.length === 0 ? 'no accounts' : table([heading, ...rows], [4, 5]) + moreLine(next),
      }
    },
  })
}

function addEntries(accounts: Command): void {
  addCommand<PageOptions>(accounts, {
    usage: 'entries <id>',
    audited: true,
    summary: "show an account's ledger entries, newest first",
    example: 'accounts entries alice --limit 20',
    configure: withPageOptions,
    run: async (context, options, [accountId]) => {
      const [limit, before] = [limitOf(options), afterOf(options, ENTRY_CURSOR_LENGTH)]
      const { pool } = await openReader(context)
      await requireAccount(pool, accountId!)
      const page = await readEntries(pool, { accountId: accountId!, before, limit })
      const entries = page.items.map(showEntry)
      const next = nextOf(page.next)
      const rows = entries.map((entry) => [
        entry.recorded_at,
        entry.txn_id,
        entry.kind,
        entry.side,
        entry.amount,
        entry.currency,
        entry.counterparty,
        entry.posted_after,
      ])
      const heading = [
        'recorded',
        'transaction',
        'kind',
        'side',
        'amount',
        'currency',
        'counterparty',
        'credits less debits',
      ]
      return {
        json: { account_id: accountId, entries, next },
        text: rows.length === 0 ? 'no entries' : table([heading, ...rows], [4, 7]) + moreLine(next),
      }
    },
  })
}
