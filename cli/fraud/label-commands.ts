/** `fraud label | label-file`: what turned out about payments, on the topic `fraud.labels`. */
import type { Command } from 'commander'
import { BulkClient } from '#cli/bulk-client.ts'
import { addCommand } from '#cli/command.ts'
import { openWriter } from '#cli/ledger-client.ts'
import {
  type ActorOptions,
  actorOf,
  choice,
  type WriteOptions,
  waitMsOf,
  withActorOption,
  withWriteOptions,
} from '#cli/options.ts'
import { sourceOf } from '#cli/transaction-results.ts'
import { changeResult } from '#cli/writes.ts'
import { readLabelFile } from '#connectors/fraud/label-file.ts'

const VERDICTS = ['fraud', 'genuine'] as const

interface LabelOptions extends WriteOptions {
  verdict: (typeof VERDICTS)[number]
  source?: string
  reason: string
}

interface FileOptions extends ActorOptions {
  source: string
  reason: string
}

/** Registers the subcommands on labels. */
export function addLabelCommands(fraud: Command): void {
  addLabel(fraud)
  addLabelFile(fraud)
}

function addLabel(fraud: Command): void {
  addCommand<LabelOptions>(fraud, {
    usage: 'label <id>',
    audited: true,
    summary: 'say what a payment turned out to be; rules use it from the seventh day after the payment on',
    example: 'fraud label pay-17 --verdict fraud --reason chargeback',
    configure: (command) =>
      withWriteOptions(command)
        .addOption(choice('--verdict <verdict>', 'what it was', VERDICTS).makeOptionMandatory())
        .option('--source <source>', "the payment's source")
        .option('--reason <words>', 'where it is known from', ''),
    run: async (context, options, [transactionId]) => {
      const [actor, waitMs] = [actorOf(options), waitMsOf(options)]
      const ledger = await openWriter(context)
      const source = await sourceOf(ledger.pool, transactionId!, options.source)
      const { verdict, reason } = options
      const record = { transactionId, source, verdict, reason, actor }
      const submission = await ledger.submit('fraud.labels', transactionId!, record, waitMs)
      const subject = { txn_id: transactionId, source, verdict }
      return changeResult(submission, { subject, state: {}, text: `${transactionId}: ${verdict}` })
    },
  })
}

function addLabelFile(fraud: Command): void {
  addCommand<FileOptions>(fraud, {
    usage: 'label-file <file>',
    audited: true,
    summary:
      'publish the labels of a CSV file (transaction_id, fraud as 0 or 1) and wait; again changes nothing',
    example: 'fraud label-file chargebacks.csv --source bank',
    configure: (command) =>
      withActorOption(command)
        .option('--source <source>', "the payments' source", '')
        .option('--reason <words>', 'where it is known from', ''),
    run: async (context, options, [file]) => {
      const actor = actorOf(options)
      const labels = await readLabelFile(file!)
      const client = new BulkClient(context)
      const publisher = await client.publisher()
      const occurredAt = Date.now()
      const { source, reason } = options
      const positions = await publisher.labels(
        [...labels].map(([transactionId, isFraud]) => ({
          transactionId,
          source,
          verdict: isFraud ? 'fraud' : 'genuine',
          reason,
          actor,
          occurredAt,
        })),
      )
      await client.awaitApplied(positions)
      const frauds = [...labels.values()].filter((isFraud) => isFraud).length
      return {
        json: { labels: labels.size, frauds },
        text: `${labels.size} labels, ${frauds} of them frauds; refused ones are on the topic notifications`,
      }
    },
  })
}
