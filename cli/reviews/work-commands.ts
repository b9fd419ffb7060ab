/** `reviews queue | show | assign | note | second-reviewer`: working the queue of held transactions; none of it decides about money. */
import type { Command } from 'commander'
import { makeDecisionReader } from '#api/gateway/decision-reader.ts'
import { readReviewStory } from '#api/gateway/review-story.ts'
import { showHeld } from '#api/routes/reviews/reviews.ts'
import { addCommand, type CommandContext, type CommandResult } from '#cli/command.ts'
import { openReader, openWriter } from '#cli/ledger-client.ts'
import {
  type ActorOptions,
  actorOf,
  afterOf,
  amountOf,
  limitOf,
  momentOf,
  nextOf,
  type PageOptions,
  type WriteOptions,
  waitMsOf,
  wholeOf,
  withActorOption,
  withPageOptions,
  withWriteOptions,
} from '#cli/options.ts'
import { moreLine, table } from '#cli/table.ts'
import { sourceOf } from '#cli/transaction-results.ts'
import { changeResult } from '#cli/writes.ts'
import { WORK_REFUSALS, type WorkCommand } from '#domain/reviews/review-work.ts'
import { transactionKey } from '#domain/transactions/canonical.ts'
import { ConfigurationError, OperatingError } from '#platform/errors.ts'
import { AuditLog } from '#platform/postgres/audit-log.ts'
import { makeEnginePool } from '#platform/postgres/engine-pool.ts'
import { HELD_CURSOR_LENGTHS, listHeld } from '#platform/postgres/queries/list-held.ts'
import { doReviewWork } from '#platform/postgres/review-work.ts'

interface QueueOptions extends PageOptions {
  owner?: string
  unassigned?: boolean
  priority: string
  heldBefore?: string
}

interface WorkOptions extends ActorOptions {
  source?: string
}

interface SecondOptions extends WriteOptions {
  currency?: string
  above?: string
  rule?: string
  off?: boolean
}

const PRIORITY_BOUNDS = { min: 0, max: 2_147_483_647 }

/** Registers them. */
export function registerReviewWork(reviews: Command): void {
  addQueue(reviews)
  addShow(reviews)
  addAssign(reviews)
  addNote(reviews)
  addSecondReviewer(reviews)
}

function addQueue(reviews: Command): void {
  addCommand<QueueOptions>(reviews, {
    usage: 'queue',
    audited: true,
    summary: 'what waits for a reviewer, the highest priority at the front',
    example: 'reviews queue --unassigned --priority 500',
    configure: (command) =>
      withPageOptions(command)
        .option('--owner <name>', 'only what somebody works on')
        .option('--unassigned', 'only what nobody works on')
        .option('--priority <n>', 'only from this priority on', '0')
        .option('--held-before <time>', 'only what was held before it (ISO 8601)'),
    run: async (context, options) => {
      const [limit, after] = [limitOf(options), afterOf(options, HELD_CURSOR_LENGTHS.priority)]
      const filters = {
        owner: options.owner,
        unassigned: options.unassigned,
        priorityMin: wholeOf(options.priority, '--priority', PRIORITY_BOUNDS),
        heldBefore:
          options.heldBefore === undefined ? undefined : momentOf(options.heldBefore, '--held-before'),
      }
      const { pool } = await openReader(context)
      const page = await listHeld(pool, { after, limit, order: 'priority', filters })
      const queue = page.items.map((held) => showHeld(held, Date.now()))
      const next = nextOf(page.next)
      const rows = queue.map((held) => [
        String(held.priority),
        held.txn_id,
        held.source,
        held.postings.map(({ amount, currency }) => `${amount} ${currency}`).join(', '),
        ageOf(held.age_seconds),
        held.owner ?? '',
        `${held.reviewers_needed}${held.released_by === null ? '' : `, released by ${held.released_by}`}`,
        String(held.notes),
      ])
      const heading = ['priority', 'transaction', 'source', 'amount', 'age', 'with', 'reviewers', 'notes']
      const text = rows.length === 0 ? 'nothing waits' : table([heading, ...rows], [0, 7])
      return { json: { queue, next }, text: text + moreLine(next) }
    },
  })
}

const ageOf = (seconds: number): string => {
  const hours = Math.floor(seconds / 3_600)
  if (hours >= 48) return `${Math.floor(hours / 24)} days`
  return hours > 0 ? `${hours} h` : `${Math.floor(seconds / 60)} min`
}

function addShow(reviews: Command): void {
  addCommand<WorkOptions>(reviews, {
    usage: 'show <id>',
    audited: true,
    summary: 'one held transaction: why it is held, every decision, who had it, notes',
    example: 'reviews show pay-17',
    configure: withSource,
    run: async (context, options, [id]) => {
      const { pool, registry } = await openReader(context)
      const source = await sourceOf(pool, id!, options.source)
      const readDecisions = makeDecisionReader({
        pool,
        registry,
        onFailure: (error) => context.progress(`why it is held can't be read: ${String(error)}`),
      })
      const story = await readReviewStory(
        { pool, readDecisions, nowMs: () => Date.now() },
        { id: id!, source },
      )
      if (story === undefined)
        throw new OperatingError('not_found', `no transaction ${JSON.stringify(id)} was held for review`)
      const lines = [
        `${id} (${story.source || 'no source'}): ${story.status}, priority ${story.priority}, held for ${ageOf(story.age_seconds)}`,
        `with ${story.owner ?? 'nobody'}; ${story.reviewers_needed} must release it${story.released_by === null ? '' : `, ${story.released_by} has`}`,
        ...story.postings.map((each) => `${each.debit} → ${each.credit} ${each.amount} ${each.currency}`),
        ...story.decisions.map((decision) => decision.explanation),
        ...story.events.map(({ at, actor, kind, owner, note }) =>
          `${at} ${actor}: ${kind === 'noted' ? (note ?? '') : `${kind.replace('_', ' ')} ${owner ?? ''}`}`.trim(),
        ),
      ]
      return { json: story, text: lines.join('\n') }
    },
  })
}

const withSource = (command: Command): Command =>
  command.option('--source <source>', "the held transaction's source")

function addAssign(reviews: Command): void {
  addCommand<WorkOptions & { to?: string; giveBack?: boolean }>(reviews, {
    usage: 'assign <id>',
    audited: true,
    summary: 'take a held transaction, assign it to somebody, or give it back',
    example: 'reviews assign pay-17 --to ann',
    configure: (command) =>
      withActorOption(withSource(command))
        .option('--to <name>', 'whose it is from now on; without it: yours, where nobody else has it')
        .option('--give-back', 'nobody has it from now on'),
    run: async (context, options, [id]) => {
      const { to, giveBack } = options
      if (to !== undefined && giveBack) throw new ConfigurationError('expected --to or --give-back, got both')
      const command: WorkCommand = giveBack
        ? { type: 'give_back' }
        : to === undefined
          ? { type: 'take' }
          : { type: 'assign', owner: to }
      return await work(context, options, id!, command)
    },
  })
}

function addNote(reviews: Command): void {
  addCommand<WorkOptions & { text: string }>(reviews, {
    usage: 'note <id>',
    audited: true,
    summary: 'write a note about a held transaction; it is never changed',
    example: 'reviews note pay-17 --text "called the customer, no answer"',
    configure: (command) =>
      withActorOption(withSource(command)).requiredOption('--text <words>', 'up to 512 characters'),
    run: async (context, options, [id]) =>
      await work(context, options, id!, { type: 'note', note: options.text }),
  })
}

async function work(
  context: CommandContext,
  options: WorkOptions,
  id: string,
  command: WorkCommand,
): Promise<CommandResult> {
  const actor = actorOf(options)
  const { pool, configuration } = await openReader(context)
  const source = await sourceOf(pool, id, options.source)
  const writing = makeEnginePool(configuration.postgres, {
    applicationName: 'tallystream reviews',
    connectionsMax: 1,
  })
  context.onClose(() => writing.end())
  const key = transactionKey(source, id)
  const subject = `${source}/${id}`
  const done = await doReviewWork(new AuditLog(writing), { key, subject, command, actor, atMs: Date.now() })
  if ('refusal' in done)
    throw new OperatingError(done.refusal, `${id}: ${WORK_REFUSALS[done.refusal]}`, { retriable: false })
  return { json: { txn_id: id, source, owner: done.owner }, text: `${id} is with ${done.owner ?? 'nobody'}` }
}

function addSecondReviewer(reviews: Command): void {
  addCommand<SecondOptions>(reviews, {
    usage: 'second-reviewer <name>',
    audited: true,
    summary: 'say which transactions, held from now on, two people must release',
    example: 'reviews second-reviewer large --currency EUR --above 10000.00',
    configure: (command) =>
      withWriteOptions(command)
        .option('--currency <code>', 'amounts of this currency')
        .option('--above <amount>', 'above this amount, major units', '0')
        .option('--rule <id>', 'only holds that this fraud rule demanded')
        .option('--off', 'no longer'),
    run: async (context, options, [name]) => {
      const [actor, waitMs] = [actorOf(options), waitMsOf(options)]
      const { currency = null, above = '0', rule, off = false } = options
      if (currency === null && rule === undefined)
        throw new ConfigurationError('expected --currency, --rule or both, got neither')
      const threshold = currency === null ? 0n : amountOf(above, currency, '--above')
      const record = {
        ruleId: name,
        type: 'second_reviewer',
        currency,
        threshold,
        windowMs: 0,
        action: 'hold',
        enabled: !off,
        ...(rule === undefined ? {} : { definition: rule }),
        actor,
      }
      const ledger = await openWriter(context)
      const submission = await ledger.submit('rules', name!, record, waitMs)
      const where = [
        currency === null ? [] : [`above ${above} ${currency}`],
        rule === undefined ? [] : [`held by ${rule}`],
      ]
      const text = `${name}: ${off ? 'off' : `two people must release what is ${where.flat().join(' and ')}`}`
      return changeResult(submission, { subject: { rule_id: name }, state: { enabled: !off }, text })
    },
  })
}
