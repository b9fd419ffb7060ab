/** `transactions post | show | list`. */
import { type Command, Option } from 'commander'
import { showAmount } from '#api/amounts.ts'
import { type DecisionReader, makeDecisionReader, withRequested } from '#api/gateway/decision-reader.ts'
import {
  showListed,
  shownPostings,
  shownStatus,
  showTransaction,
  statusOfShown,
  totalOf,
} from '#api/routes/transactions/show-transaction.ts'
import { addCommand, type CommandContext } from '#cli/command.ts'
import { type LedgerReader, openReader, openWriter } from '#cli/ledger-client.ts'
import {
  actorOf,
  afterOf,
  choice,
  collect,
  limitOf,
  nextOf,
  type PageOptions,
  type WriteOptions,
  waitMsOf,
  withPageOptions,
  withWriteOptions,
} from '#cli/options.ts'
import { details, moreLine, table } from '#cli/table.ts'
import { type TransactionOptions, transactionRecordOf } from '#cli/transaction-record.ts'
import { CLI_SOURCE, outcomeResult, sourceOf } from '#cli/transaction-results.ts'
import { transactionKey } from '#domain/transactions/canonical.ts'
import {
  KINDS,
  STATUSES,
  type TransactionKind,
  type TransactionStatus,
} from '#domain/transactions/outcomes.ts'
import { ConfigurationError, OperatingError } from '#platform/errors.ts'
import {
  type ListedTransaction,
  listTransactions,
  TRANSACTION_CURSOR_LENGTH,
} from '#platform/postgres/queries/list-transactions.ts'
import { readTransaction } from '#platform/postgres/queries/read-transaction.ts'

type PostOptions = TransactionOptions & WriteOptions

interface ListOptions extends PageOptions {
  status?: string
  kind?: TransactionKind
  account?: string
  card?: string
}

/** Registers `transactions` and its subcommands. */
export function registerTransactions(program: Command): void {
  const transactions = program.command('transactions').description('post and show transactions')
  addPost(transactions)
  addShow(transactions)
  addList(transactions)
}

const withPostOptions = (command: Command): Command =>
  withWriteOptions(command)
    .option('--from <account>', 'the account debited')
    .option('--to <account>', 'the account credited')
    .option('--amount <amount>', 'in major units, for example 12.75')
    .option('--currency <code>', 'ISO 4217 code')
    .addOption(
      new Option(
        '--posting <from,to,amount,currency>',
        'one more posting; may be given several times',
      ).argParser(collect),
    )
    .addOption(choice('--kind <kind>', 'what is asked for (default: post)', KINDS))
    .option('--parent <id>', 'capture, void, reverse: the transaction referred to')
    .option('--parent-source <source>', 'its source, where it is another')
    .option('--id <id>', 'unique in its source (default: made up); sent again it has no further effect')
    .option('--source <source>', 'the system that it comes from (default: cli)')
    .option('--card <token>', 'card token, never a card number')
    .option('--merchant <id>', 'merchant')
    .option('--terminal <id>', 'terminal')
    .option('--device <id>', 'device')
    .option('--country <code>', 'ISO 3166-1 alpha-2 code of where it happened')
    .option('--end-to-end-id <id>', 'ISO 20022 EndToEndId')
    .option('--uetr <uuid>', 'ISO 20022 UETR')
    .option('--occurred-at <time>', 'event time (ISO 8601 with a zone; default: arrival)')
    .option('--value-time <time>', 'effective time (default: event time)')
    .option('--expires <time>', 'authorize: when the reservation ends by itself')
    .addOption(new Option('--metadata <key=value>', 'may be given several times').argParser(collect))
    .option(
      '--file <path>',
      'a JSON record instead: postings in minor units, or from, to, amount in major units',
    )

function addPost(transactions: Command): void {
  addCommand<PostOptions>(transactions, {
    usage: 'post',
    audited: true,
    summary: 'post a transaction, and wait for its outcome',
    example: 'transactions post --from alice --to bob --amount 12.75 --currency EUR --id pay-1',
    configure: withPostOptions,
    run: async (context, options) => {
      const waitMs = waitMsOf(options)
      const { id, source, key, record } = await transactionRecordOf({ ...options, actor: actorOf(options) })
      const ledger = await openWriter(context)
      try {
        return outcomeResult(await ledger.submit('transactions', key, record, waitMs), { id, source })
      } catch (error) {
        // It may have been written all the same: only with the same id is trying again safe.
        const again = `with the same content and --id ${id}, trying again is safe`
        if (error instanceof OperatingError && error.retriable) context.progress(again)
        throw error
      }
    },
  })
}

function addShow(transactions: Command): void {
  addCommand<{ source?: string }>(transactions, {
    usage: 'show <id>',
    audited: true,
    summary: 'show one transaction with its entries and every decision about it',
    example: 'transactions show pay-1',
    configure: (command) => command.option('--source <source>', 'its source (default: cli, then none)'),
    run: async (context, options, [id]) => {
      const { pool, registry } = await openReader(context)
      const source = await sourceOf(pool, id!, options.source)
      const transaction = await readTransaction(pool, transactionKey(source, id!))
      if (transaction === undefined) {
        const place =
          options.source === undefined
            ? `of source "${CLI_SOURCE}" or without one; name another with --source`
            : `of source ${JSON.stringify(source)}`
        throw new OperatingError(
          'transaction_not_found',
          `there is no transaction ${JSON.stringify(id)} ${place}`,
        )
      }
      const records = await decisionReaderOf(context, { pool, registry })(
        transaction.decisions.map((decision) => ({ ...decision, id: transaction.id })),
      )
      const postings = shownPostings(transaction, records)
      const json = { ...showTransaction(transaction, records), amount: totalOf(postings, showAmount) }
      return { json, text: transactionText(json as unknown as ShownTransaction) }
    },
  })
}

const decisionReaderOf = (
  context: CommandContext,
  ledger: Pick<LedgerReader, 'pool' | 'registry'>,
): DecisionReader =>
  makeDecisionReader({
    ...ledger,
    onFailure: (error) =>
      context.progress(`without fraud rules and what was refused: ${(error as Error).message}`),
  })

/** With the exact decimal text in major units: no client of older systems reads it here. */
const showListedExactly = (transaction: ListedTransaction): Record<string, unknown> => ({
  ...showListed(transaction),
  amount: totalOf(transaction.postings, showAmount),
})

/** What of a shown transaction the text repeats. */
interface ShownTransaction {
  id: string
  source: string
  kind: string
  status: string
  reason: string | null
  from: string | null
  to: string | null
  amount: string | null
  currency: string | null
  recorded_at: string
  entries: { account_id: string; side: string; amount: string; currency: string; posted_after: string }[]
  decisions: { cause: string; outcome: string; reason: string | null; actor: string; recorded_at: string }[]
}

const amountText = ({ amount, currency }: ShownTransaction): string =>
  amount === null ? (currency ?? 'several currencies') : `${amount} ${currency}`

function transactionText(shown: ShownTransaction): string {
  const head = details([
    ['transaction', shown.id],
    ['source', shown.source],
    ['kind', shown.kind],
    ...(shown.from === null && shown.to === null
      ? []
      : ([
          ['money', `${shown.from ?? 'several'} → ${shown.to ?? 'several'}: ${amountText(shown)}`],
        ] as const)),
    ['status', shown.reason === null ? shown.status : `${shown.status}: ${shown.reason}`],
  ])
  const decisions = table([
    ['decided', 'by', 'outcome', 'actor'],
    ...shown.decisions.map((each) => [each.recorded_at, each.cause, each.outcome, each.actor]),
  ])
  if (shown.entries.length === 0) return `${head}\n\n${decisions}`
  const heading = ['account', 'side', 'amount', 'currency', 'credits less debits']
  const entries = shown.entries.map((each) => [
    each.account_id,
    each.side,
    each.amount,
    each.currency,
    each.posted_after,
  ])
  return `${head}\n\n${decisions}\n\n${table([heading, ...entries], [2, 4])}`
}

/** Duplicates are no transactions of their own. */
const LISTED_STATUSES = STATUSES.filter((status) => status !== 'duplicate').map(shownStatus)

/** The ledger's words, also by the names that the API shows. @throws ConfigurationError */
function statusesOf(text: string): TransactionStatus[] {
  return text.split(',').map((word) => {
    const status = STATUSES.find((each) => each === statusOfShown(word.trim()))
    if (status !== undefined) return status
    throw new ConfigurationError(
      `expected --status of ${LISTED_STATUSES.join(', ')}, got ${JSON.stringify(word)}`,
    )
  })
}

function addList(transactions: Command): void {
  addCommand<ListOptions>(transactions, {
    usage: 'list',
    audited: true,
    summary: 'list transactions, newest first',
    example: 'transactions list --status held,rejected --limit 20',
    configure: (command) =>
      withPageOptions(command)
        .option('--status <list>', `one or several of ${LISTED_STATUSES.join(', ')}`)
        .addOption(choice('--kind <kind>', 'only this kind', KINDS))
        .option('--account <id>', "only what moved this account's money")
        .option('--card <token>', 'only what was asked for with this card'),
    run: async (context, options) => {
      const filters = {
        statuses: options.status === undefined ? undefined : statusesOf(options.status),
        kind: options.kind,
        accountId: options.account,
        card: options.card,
      }
      const [limit, before] = [limitOf(options), afterOf(options, TRANSACTION_CURSOR_LENGTH)]
      const { pool, registry } = await openReader(context)
      const page = await withRequested(
        await listTransactions(pool, { filters, before, limit }),
        decisionReaderOf(context, { pool, registry }),
      )
      const next = nextOf(page.next)
      return {
        json: { transactions: page.items.map(showListedExactly), next },
        text: listText(page.items) + moreLine(next),
      }
    },
  })
}

function listText(transactions: readonly ListedTransaction[]): string {
  if (transactions.length === 0) return 'no transactions'
  const rows = transactions.map((transaction) => {
    const shown = showListedExactly(transaction)
    const cell = (name: string) => String(shown[name] ?? '')
    const status = shownStatus(transaction.status)
    return [
      cell('recorded_at'),
      transaction.id,
      transaction.kind,
      transaction.reason === null ? status : `${status}: ${transaction.reason}`,
      cell('from'),
      cell('to'),
      cell('amount'),
      cell('currency'),
    ]
  })
  return table(
    [['recorded', 'transaction', 'kind', 'status', 'from', 'to', 'amount', 'currency'], ...rows],
    [6],
  )
}
