/** `cards issue | set-limits | block | unblock | cancel | show`. */
import type { Command } from 'commander'
import { showAmount } from '#api/amounts.ts'
import { addCommand, type CommandContext, type CommandResult } from '#cli/command.ts'
import { type LedgerReader, openReader, openWriter } from '#cli/ledger-client.ts'
import { actorOf, amountOf, momentOf, type WriteOptions, waitMsOf, withWriteOptions } from '#cli/options.ts'
import { type CardDetails, readCard } from '#platform/postgres/queries/read-card.ts'
import { details } from '#cli/table.ts'
import { changeResult, requireAccount } from '#cli/writes.ts'
import { ConfigurationError, OperatingError } from '#platform/errors.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'

interface IssueOptions extends WriteOptions {
  account: string
  expires?: string
  transactionLimit?: string
  dailyLimit?: string
}

interface LimitOptions extends WriteOptions {
  transactionLimit?: string
  dailyLimit?: string
}

type Wanted = Readonly<Record<string, unknown>>

/** Registers `cards` and its subcommands. */
export function registerCards(program: Command): void {
  const cards = program
    .command('cards')
    .description('issue, change and show cards (tokens, never card numbers)')
  addCommand<IssueOptions>(cards, {
    usage: 'issue <token>',
    audited: true,
    summary: 'issue a card on an account',
    example: 'cards issue tok_alice_1 --account alice --daily-limit 500.00',
    configure: (command) =>
      withWriteOptions(command)
        .requiredOption('--account <id>', 'the account that it draws on')
        .option('--expires <time>', 'from when it is no longer accepted (ISO 8601 with a zone)')
        .option('--transaction-limit <amount>', 'most in one transaction, in major units')
        .option('--daily-limit <amount>', 'most in one UTC day of ledger time, in major units'),
    run: (context, options, [token]) =>
      change(context, options, token!, async ({ pool }) => {
        const { account, expires, transactionLimit, dailyLimit } = options
        const { currency } = await requireAccount(pool, account)
        const limit = (text: string | undefined, option: string) =>
          text === undefined ? null : amountOf(text, currency, option)
        return {
          action: 'issue',
          accountId: account,
          expiresAt: expires === undefined ? null : momentOf(expires, '--expires').getTime(),
          transactionLimit: limit(transactionLimit, '--transaction-limit'),
          dailyLimit: limit(dailyLimit, '--daily-limit'),
        }
      }),
  })
  addCommand<LimitOptions>(cards, {
    usage: 'set-limits <token>',
    audited: true,
    summary: 'set what a card may spend; what is not named stays',
    example: 'cards set-limits tok_alice_1 --daily-limit 250.00 --transaction-limit none',
    configure: (command) =>
      withWriteOptions(command)
        .option('--transaction-limit <amount>', 'most in one transaction, in major units, or none')
        .option('--daily-limit <amount>', 'most in one UTC day of ledger time, in major units, or none'),
    run: (context, options, [token]) =>
      change(context, options, token!, async ({ pool }) => {
        const { transactionLimit, dailyLimit } = options
        if (transactionLimit === undefined && dailyLimit === undefined) {
          throw new ConfigurationError('expected --transaction-limit or --daily-limit, got neither')
        }
        const card = await requireCard(pool, token!)
        const limit = (text: string | undefined, option: string, now: bigint | null) => {
          if (text === undefined) return now
          return text === 'none' ? null : amountOf(text, card.currency, option)
        }
        return {
          action: 'set_limits',
          transactionLimit: limit(transactionLimit, '--transaction-limit', card.transactionLimit),
          dailyLimit: limit(dailyLimit, '--daily-limit', card.dailyLimit),
        }
      }),
  })
  const changes = [
    ['block', 'let a card pay no more, until unblock'],
    ['unblock', 'let a blocked card pay again'],
    ['cancel', 'end a card for ever'],
  ] as const
  for (const [action, summary] of changes) {
    addCommand<WriteOptions>(cards, {
      usage: `${action} <token>`,
      audited: true,
      summary,
      example: `cards ${action} tok_alice_1`,
      configure: withWriteOptions,
      run: (context, options, [token]) => change(context, options, token!, async () => ({ action })),
    })
  }
  addCommand(cards, {
    usage: 'show <token>',
    audited: true,
    summary: 'show one card with its limits and what it spent',
    example: 'cards show tok_alice_1',
    run: async (context, _options, [token]) => {
      const { pool } = await openReader(context)
      const card = await requireCard(pool, token!)
      return { json: showCard(card), text: cardText(card) }
    },
  })
}

/** @throws OperatingError `card_not_found` */
async function requireCard(pool: ReadPool, token: string): Promise<CardDetails> {
  const card = await readCard(pool, token)
  if (card === undefined) throw new OperatingError('card_not_found', 'there is no such card')
  return card
}

/** Publishes a change and shows the card as it then is. */
async function change(
  context: CommandContext,
  options: WriteOptions,
  card: string,
  wanted: (ledger: LedgerReader) => Promise<Wanted>,
): Promise<CommandResult> {
  const [actor, waitMs] = [actorOf(options), waitMsOf(options)]
  const ledger = await openWriter(context)
  const submission = await ledger.submit('cards', card, { ...(await wanted(ledger)), card, actor }, waitMs)
  const found = await readCard(ledger.pool, card)
  return changeResult(submission, {
    subject: { card },
    state: { state: found === undefined ? null : showCard(found) },
    text: found === undefined ? 'there is no such card' : cardText(found),
  })
}

const shownLimit = (limit: bigint | null, currency: string): string | null =>
  limit === null ? null : showAmount(limit, currency)

const showCard = (card: CardDetails) => ({
  card: card.card,
  account_id: card.accountId,
  currency: card.currency,
  status: card.status,
  expires_at: card.expiresAtMs === null ? null : new Date(card.expiresAtMs).toISOString(),
  transaction_limit: shownLimit(card.transactionLimit, card.currency),
  daily_limit: shownLimit(card.dailyLimit, card.currency),
  spent: showAmount(card.spent, card.currency),
  reserved: showAmount(card.reserved, card.currency),
  spent_today: showAmount(card.spentToday, card.currency),
})

function cardText(card: CardDetails): string {
  const shown = showCard(card)
  return details([
    ['card', shown.card],
    ['status', shown.status],
    ['account', shown.account_id],
    ['expires', shown.expires_at ?? 'never'],
    ['spent', `${shown.spent} ${shown.currency}, today ${shown.spent_today}, reserved ${shown.reserved}`],
    ['limits', `a transaction ${shown.transaction_limit ?? 'none'}, a day ${shown.daily_limit ?? 'none'}`],
  ])
}
