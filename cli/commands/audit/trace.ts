/** `audit trace`: the story of one transaction, entry or account, from the bytes that came in to what left. */
import type { Command } from 'commander'
import { showAmount } from '#api/amounts.ts'
import { addCommand, type CommandContext } from '#cli/command.ts'
import { loadConfiguration } from '#cli/configuration.ts'
import { choice } from '#cli/options.ts'
import { ConfigurationError, OperatingError } from '#platform/errors.ts'
import { type AccountDetails, readAccount } from '#platform/postgres/queries/read-account.ts'
import { type LedgerEntry, readEntries } from '#platform/postgres/queries/read-entries.ts'
import type { EntryStory } from '#platform/postgres/reconciliation/queries.ts'
import { readBatch, type TransactionName } from '#platform/postgres/queries/trace.ts'
import { type TracedDecision, Tracer, type TransactionTrace } from '#processors/auditing-trace.ts'

type Subject = 'transaction' | 'entry' | 'account'
interface Options {
  as?: Subject
  source?: string
  entries: string
}

const ENTRY = /^(\d{1,18})\.(\d{1,9})(?:\.(\d{1,5}))?$/

/** Adds `audit trace`. */
export function addAuditTrace(audit: Command): void {
  addCommand<Options>(audit, {
    usage: 'trace <subject>',
    audited: true,
    summary:
      'tell the story of a transaction (its id), an entry (sequence.index.entry) or an account: input, decision, rules, entries, batch, outputs, what followed',
    example: 'audit trace pay-1 --source shop',
    configure: (command) =>
      command
        .addOption(
          choice('--as <kind>', 'what <subject> is, where it could be several', [
            'transaction',
            'entry',
            'account',
          ]),
        )
        .option(
          '--source <source>',
          "the transaction's source; without, all of that id are looked for (slower)",
        )
        .option('--entries <n>', 'newest entries of an account to show', '20'),
    run: async (context, options, [subject]) => await trace(context, options, subject!),
  })
}

async function trace(context: CommandContext, options: Options, subject: string) {
  const tracer = new Tracer(loadConfiguration())
  context.onClose(() => tracer.close())
  const kind = options.as ?? (ENTRY.test(subject) && options.source === undefined ? 'entry' : undefined)
  if (kind !== 'account') {
    const names =
      kind === 'entry' ? await ofEntry(tracer, subject) : await tracer.named(subject, options.source)
    const traces = (await Promise.all(names.map(({ key }) => tracer.transaction(key)))).filter(
      (found) => found !== undefined,
    )
    if (traces.length > 0) {
      const entry = kind === 'entry' ? subject : null
      return { json: { transactions: traces, entry }, text: traces.map(transactionText).join('\n\n') }
    }
  }
  const account =
    kind === undefined || kind === 'account' ? await readAccount(tracer.pool, subject) : undefined
  if (account === undefined) {
    throw new OperatingError(
      'not_found',
      `expected a transaction, an entry or an account, found none by "${subject}"`,
    )
  }
  return await accountStory(tracer, account, options)
}

async function ofEntry(tracer: Tracer, subject: string): Promise<TransactionName[]> {
  const parts = ENTRY.exec(subject)
  if (parts === null)
    throw new ConfigurationError(`expected an entry as sequence.index.entry, found "${subject}"`)
  const found = await tracer.placed(BigInt(parts[1]!), Number(parts[2]))
  return found === undefined ? [] : [found]
}

function transactionText(traced: TransactionTrace): string {
  const { transaction, decisions, hold, reversed, related, reconciliation } = traced
  return [
    `${transaction.kind} ${transaction.id} of ${transaction.source}, occurred ${transaction.occurredAt.toISOString()}${transaction.card === null ? '' : `, card ${transaction.card}`}`,
    ...(transaction.parent === null
      ? []
      : [`  refers to ${transaction.parent.id} of ${transaction.parent.source}`]),
    ...decisions.flatMap(decisionLines),
    ...(hold === null
      ? []
      : [`  hold (${hold.kind}): ${hold.status}, until ${new Date(hold.expiresAtMs).toISOString()}`]),
    ...reversed.map(
      ({ posting, amountMinor }) => `  given back of posting ${posting}: ${amountMinor} minor units`,
    ),
    ...related.map(
      ({ kind, id, source, status, sequence, index }) =>
        `  followed by ${kind} ${id} of ${source}: ${status} (${sequence}.${index})`,
    ),
    ...reconciliation.flatMap(reconciledLines),
  ].join('\n')
}

function decisionLines({ decision, input, batch, rules, reserved, outputs }: TracedDecision): string[] {
  const { record } = input
  const place = `${input.topic}:${input.partition}:${input.offset}`
  return [
    `  ${decision.cause} at ${place}${record === null ? ' (kept nowhere any more)' : `, ${record.bytes} bytes in the ${record.keptIn}, SHA-256 ${record.sha256}`}`,
    `    decided ${decision.status}${decision.reason === null ? '' : ` (${decision.reason})`} by ${decision.actor}, recorded ${decision.recordedAt.toISOString()}, place ${decision.sequence}.${decision.index}`,
    ...rules.map(
      ({ ruleId, version, value, threshold, action, words }) =>
        `    rule ${ruleId} (version ${version}): ${value}, allowed ${threshold}: ${action}${words === '' ? '' : ` (${words})`}`,
    ),
    ...decision.postings.map(
      (posting) =>
        `    ${posting.debit} → ${posting.credit} ${showAmount(posting.amountMinor, posting.currency)} ${posting.currency}; after it ${showAmount(posting.debitPosted, posting.currency)} and ${showAmount(posting.creditPosted, posting.currency)}`,
    ),
    ...reserved.map(
      ({ account, reserved: minor }) => `    reserved of ${account} after it: ${minor} minor units`,
    ),
    batch === null
      ? '    its batch is not kept any more'
      : `    batch ${batch.sequence}, hash ${batch.hash}${batch.isWhole ? '' : ' WHICH IS NOT THAT OF WHAT IS STORED'}, rules of ${batch.rules}, logic ${batch.logic}, cluster ${batch.cluster}`,
    ...outputs.map(({ topic, key, place: found }) =>
      found === null
        ? `    output ${topic} ${key}: not found`
        : `    output ${topic}:${found.partition}:${found.offset} ${key}`,
    ),
  ]
}

/** The other side's lines with their file and place, and who decided where a person did. */
function reconciledLines({ pair, id, matches, break: row, events }: EntryStory): string[] {
  const last = events.findLast(({ type }) => type === 'closed')
  const byPeople = last?.type === 'closed' && last.ending.by === 'resolution' ? last.ending : null
  return [
    `  ${id} in pair ${pair}${row === null ? '' : `: break ${row.kind}, ${row.status}`}`,
    ...matches.map(
      ({ pass, score, ended, bank }) =>
        `    ${ended ? 'was matched' : 'matched'} by ${pass} (score ${score}) with ${bank.map((line) => `${line.id}, ${line.provenance}`).join('; ')}`,
    ),
    ...(byPeople === null
      ? []
      : [`    ${byPeople.resolution.kind}: proposed by ${byPeople.maker}, approved by ${byPeople.checker}`]),
  ]
}

async function accountStory(tracer: Tracer, account: AccountDetails, options: Options) {
  const limit = Number(options.entries)
  if (!Number.isInteger(limit) || limit < 1 || limit > 1_000) {
    throw new ConfigurationError(`expected --entries from 1 to 1000, found "${options.entries}"`)
  }
  const { items, next } = await readEntries(tracer.pool, {
    accountId: account.accountId,
    before: null,
    limit,
  })
  const opened = await readBatch(tracer.pool, account.openedSequence)
  const changed = await readBatch(tracer.pool, account.version.sequence)
  const batches = {
    opened: { sequence: account.openedSequence, hash: opened?.hash.toString('hex') ?? null },
    changed: { sequence: account.version.sequence, hash: changed?.hash.toString('hex') ?? null },
  }
  return {
    json: { account, batches, entries: items, more: next !== null },
    text: [
      `account ${account.accountId}: ${account.accountClass}, ${account.currency}, ${account.status}`,
      `  opened in batch ${batches.opened.sequence}, hash ${batches.opened.hash ?? 'not kept'}`,
      `  last changed in batch ${batches.changed.sequence}, hash ${batches.changed.hash ?? 'not kept'}`,
      `  posted ${showAmount(account.posted, account.currency)}, reserved ${showAmount(account.reserved, account.currency)} ${account.currency} (credits less debits)`,
      ...items.map((entry) => entryLine(entry)),
      ...(next === null ? [] : ['  older entries: --entries']),
    ].join('\n'),
  }
}

const entryLine = (entry: LedgerEntry): string =>
  `  ${entry.sequence}.${entry.index}.${entry.entry} ${entry.recordedAt.toISOString()} ${entry.side} ${showAmount(entry.amountMinor, entry.currency)} ${entry.currency}, then ${showAmount(entry.postedAfter, entry.currency)}: ${entry.kind} ${entry.transactionId} of ${entry.source}, with ${entry.counterparty}`
