/** `reviews list | release | decline`: held transactions and a reviewer's decision on them. The work on the queue: cli/reviews/. */
import type { Command } from 'commander'
import { showHeld } from '#api/routes/reviews/reviews.ts'
import { addCommand } from '#cli/command.ts'
import { openReader, openWriter } from '#cli/ledger-client.ts'
import {
  actorOf,
  afterOf,
  limitOf,
  nextOf,
  type PageOptions,
  type WriteOptions,
  waitMsOf,
  withPageOptions,
  withWriteOptions,
} from '#cli/options.ts'
import { registerReviewWork } from '#cli/reviews/work-commands.ts'
import { moreLine, table } from '#cli/table.ts'
import { outcomeResult, sourceOf } from '#cli/transaction-results.ts'
import { HELD_CURSOR_LENGTHS, listHeld } from '#platform/postgres/queries/list-held.ts'

interface ReviewOptions extends WriteOptions {
  source?: string
  reason: string
}

/** Registers `reviews` and its subcommands. */
export function registerReviews(program: Command): void {
  const reviews = program.command('reviews').description('transactions held for review')
  addList(reviews)
  registerReviewWork(reviews)
  addDecision(reviews, 'release', 'let a held transaction go on; status and limits are checked again')
  addDecision(reviews, 'decline', 'refuse a held transaction and free its money')
}

function addList(reviews: Command): void {
  addCommand<PageOptions>(reviews, {
    usage: 'list',
    audited: true,
    summary: 'list what waits for a reviewer, what expires first at the front',
    example: 'reviews list --limit 20',
    configure: withPageOptions,
    run: async (context, options) => {
      const [limit, after] = [limitOf(options), afterOf(options, HELD_CURSOR_LENGTHS.expires)]
      const { pool } = await openReader(context)
      const page = await listHeld(pool, { after, limit })
      const held = page.items.map((each) => showHeld(each, Date.now()))
      const next = nextOf(page.next)
      const rows = held.flatMap(({ txn_id, source, postings, expires_at }) =>
        postings.map(({ debit, credit, amount, currency }) => [
          txn_id,
          source,
          debit,
          credit,
          amount,
          currency,
          expires_at,
        ]),
      )
      const heading = ['transaction', 'source', 'from', 'to', 'amount', 'currency', 'expires']
      const text = rows.length === 0 ? 'nothing is held' : table([heading, ...rows], [4])
      return { json: { held, next }, text: text + moreLine(next) }
    },
  })
}

function addDecision(reviews: Command, decision: 'release' | 'decline', summary: string): void {
  addCommand<ReviewOptions>(reviews, {
    usage: `${decision} <id>`,
    audited: true,
    summary,
    example: `reviews ${decision} pay-17 --reason "customer called back"`,
    configure: (command) =>
      withWriteOptions(command)
        .option('--source <source>', "the held transaction's source")
        .requiredOption('--reason <words>', "the reviewer's words"),
    run: async (context, options, [transactionId]) => {
      const [actor, waitMs] = [actorOf(options), waitMsOf(options)]
      const ledger = await openWriter(context)
      const source = await sourceOf(ledger.pool, transactionId!, options.source)
      const record = { transactionId, source, decision, reason: options.reason, actor }
      const submission = await ledger.submit('reviews', transactionId!, record, waitMs)
      return outcomeResult(submission, { id: transactionId!, source })
    },
  })
}
