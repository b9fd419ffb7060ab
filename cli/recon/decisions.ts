/** `recon assign | note | propose | unmatch | approve | refuse | reopen`: what people decide about breaks, as commands to the engine. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import { BulkClient } from '#cli/bulk-client.ts'
import { addCommand, type CommandContext, type CommandResult } from '#cli/command.ts'
import { actorOf, choice, type WriteOptions, waitMsOf, withWriteOptions } from '#cli/options.ts'
import { BREAK_KINDS } from '#domain/breaks/classify.ts'
import type { Resolution } from '#domain/breaks/break-life.ts'
import { disputeId } from '#domain/reconciliation/hands.ts'
import { ConfigurationError, UnreachableError } from '#platform/errors.ts'
import { readCommandOutcome, readStandingMatch } from '#platform/postgres/reconciliation/queries.ts'
import { encoderOf } from '#platform/schema-registry/contracts.ts'

const POLL_MS = 100

interface ProposeOptions {
  reason: string
  ledger?: string[]
  bank?: string[]
  writeOff?: string
  ignore?: boolean
}

function resolutionOf({ ledger, bank, writeOff, ignore }: ProposeOptions, subject: string): Resolution {
  const isNamed = ledger !== undefined || bank !== undefined
  if (ignore === true && writeOff === undefined && !isNamed) return { kind: 'ignore' }
  if (ignore !== true && writeOff !== undefined) {
    const own = subject.startsWith('ledger:')
      ? { ledger: [subject], bank: [] }
      : { ledger: [], bank: [subject] }
    return {
      kind: 'write_off',
      account: writeOff,
      ...(isNamed ? { ledger: ledger ?? [], bank: bank ?? [] } : own),
    }
  }
  if (ignore !== true && ledger !== undefined && bank !== undefined) return { kind: 'match', ledger, bank }
  throw new ConfigurationError('expected --ignore, --write-off, or --ledger and --bank')
}

/** Registers them. */
export function registerDecisions(recon: Command): void {
  const add = <Options extends WriteOptions>(
    kind: string,
    summary: string,
    example: string,
    configure: (command: Command) => Command,
    bodyOf: (options: Options, subject: string) => object,
  ) =>
    addCommand<Options>(recon, {
      usage: `${kind} <pair> <break>`,
      audited: true,
      summary,
      example,
      configure: (command) => configure(withWriteOptions(command)),
      run: (context, options, [pair, subject]) =>
        send(context, options, {
          pair: pair!,
          kind,
          subject: subject!,
          body: JSON.stringify(bodyOf(options, subject!)),
        }),
    })
  const withReason = (command: Command) => command.requiredOption('--reason <text>', 'why')
  add<WriteOptions & { owner?: string }>(
    'assign',
    'give a break to somebody, or to nobody',
    'recon assign nostro ledger:42.0.0 --owner ann',
    (command) => command.option('--owner <name>', 'who works on it (default: nobody)'),
    ({ owner }) => ({ owner: owner ?? null }),
  )
  add<WriteOptions & { text: string }>(
    'note',
    'write a note to a break',
    'recon note nostro ledger:42.0.0 --text "asked the bank"',
    (command) => command.requiredOption('--text <text>', 'the note'),
    ({ text }) => ({ text }),
  )
  add<WriteOptions & ProposeOptions>(
    'propose',
    'propose what is to become of a break: a match of your own, a write-off, or nothing; somebody else approves it',
    'recon propose nostro ledger:42.0.0 --ignore --reason "a test payment"',
    (command) =>
      withReason(command)
        .option('--ledger <id...>', "items of the ledger's side that are the same money")
        .option('--bank <id...>', "items of the bank's side that are the same money")
        .option(
          '--write-off <account>',
          'post what the bank has more or less against this account (default: all of the break)',
        )
        .option('--ignore', 'nothing is to be done'),
    (options, subject) => ({ reason: options.reason, resolution: resolutionOf(options, subject) }),
  )
  addCommand<WriteOptions & { reason: string }>(recon, {
    usage: 'unmatch <pair> <match>',
    audited: true,
    summary:
      'propose that a match of the engine is wrong; once somebody else approves, its items are open again',
    example: 'recon unmatch nostro 6d4a0c7e3f5b4a1c8d2e9f0a1b2c3d4e --reason "another payment of that day"',
    configure: (command) => withReason(withWriteOptions(command)),
    run: async (context, options, [pair, id]) => {
      const match = await readStandingMatch(new BulkClient(context).pool, pair!, id!)
      if (match === null) {
        return {
          json: { outcome: 'refused', refusal: 'match_unknown' },
          text: 'no such match stands',
          exitCode: 1,
        }
      }
      const { reason } = options
      const body = JSON.stringify({ reason, resolution: { kind: 'unmatch', ...match } })
      return await send(context, options, { pair: pair!, kind: 'propose', subject: disputeId(id!), body })
    },
  })
  add(
    'approve',
    'approve what somebody else proposed',
    'recon approve nostro ledger:42.0.0 --actor bob',
    (command) => command,
    () => ({}),
  )
  add<WriteOptions & { reason: string }>(
    'refuse',
    'refuse a proposal, or take back your own',
    'recon refuse nostro ledger:42.0.0 --reason "too large"',
    withReason,
    ({ reason }) => ({ reason }),
  )
  add<WriteOptions & { reason: string; kind: string }>(
    'reopen',
    'undo a resolution that somebody else approved',
    'recon reopen nostro ledger:42.0.0 --kind amount --reason "the bank says otherwise"',
    (command) =>
      withReason(command).addOption(
        choice('--kind <kind>', 'what it is from now on', BREAK_KINDS).makeOptionMandatory(),
      ),
    ({ reason, kind }) => ({ reason, kind }),
  )
}

interface Sent {
  readonly pair: string
  readonly kind: string
  readonly subject: string
  readonly body: string
}

/** Publishes a command and waits for what becomes of it. Exit code 1 where it was refused. */
export async function send(
  context: CommandContext,
  options: WriteOptions,
  command: Sent,
): Promise<CommandResult> {
  const client = new BulkClient(context)
  const waitMs = waitMsOf(options)
  const publisher = await client.publisher()
  const id = `cli-${randomUUID()}`
  const value = { id, ...command, actor: actorOf(options), occurredAt: BigInt(Date.now()) }
  const encoder = encoderOf<typeof value>(publisher.contracts.reconciliationCommands)
  const topic = publisher.topicName('reconciliationCommands')
  await publisher.encoded([{ topic, key: command.pair, value: encoder.encode(value) }])
  if (waitMs === 0) return { json: { id, outcome: 'published' }, text: `published as ${id}` }
  const deadline = performance.now() + waitMs
  for (;;) {
    const outcome = await readCommandOutcome(client.pool, command.pair, id)
    if (outcome !== null) {
      const { refusal } = outcome
      const text = refusal === null ? 'done' : `refused: ${refusal}`
      return {
        json: { id, outcome: refusal === null ? 'done' : 'refused', refusal },
        text,
        exitCode: refusal === null ? 0 : 1,
      }
    }
    if (performance.now() > deadline) {
      throw new UnreachableError(
        'engine',
        `command ${id} was published but is not carried out after ${waitMs} ms; is there such a pair, and does a reconciler run (npx tallystream run)?`,
      )
    }
    await sleep(POLL_MS, undefined, { signal: context.signal })
  }
}
