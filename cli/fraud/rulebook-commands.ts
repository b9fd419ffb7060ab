/** `fraud propose | approve | rules`: the rulebook that the engine decides by, under four eyes. */
import type { Command } from 'commander'
import { approvalRecord, problemOfDefinition, proposalRecord } from '#api/gateway/rulebook-records.ts'
import { addCommand } from '#cli/command.ts'
import { readRulebook, withModelOption } from '#cli/fraud/files.ts'
import { openReader, openWriter } from '#cli/ledger-client.ts'
import { actorOf, type WriteOptions, waitMsOf, withWriteOptions } from '#cli/options.ts'
import { changeResult } from '#cli/writes.ts'
import { parseRulebook } from '#domain/fraud/rulebook/parse.ts'
import { ConfigurationError } from '#platform/errors.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { listRules, type StoredRule } from '#platform/postgres/queries/list-rules.ts'

const VERSION = /^\d{1,18}$/

/** Registers the subcommands on the engine's rulebook. */
export function addRulebookCommands(fraud: Command): void {
  addPropose(fraud)
  addApprove(fraud)
  addCommand(fraud, {
    usage: 'rules',
    summary: 'the rulebook in force and the newest proposal',
    example: 'fraud rules',
    run: async (context) => {
      const { pool } = await openReader(context)
      const shown = await readRulebooks(pool)
      return { json: shown, text: textOf(shown) }
    },
  })
}

function addPropose(fraud: Command): void {
  addCommand<WriteOptions & { readonly model?: string }>(fraud, {
    usage: 'propose [file]',
    audited: true,
    summary: 'propose a rulebook for the engine; without a file: the built-in one',
    example: 'fraud propose --model built_in --actor ann',
    configure: (command) => withModelOption(withWriteOptions(command)),
    run: async (context, options, [file]) => {
      const [actor, waitMs] = [actorOf(options), waitMsOf(options)]
      const definition = JSON.stringify((await readRulebook({ file, model: options.model })).json)
      const problem = problemOfDefinition(definition)
      if (problem !== null) throw new ConfigurationError(`${file ?? 'the built-in rulebook'}:\n${problem}`)
      const ledger = await openWriter(context)
      const record = proposalRecord(definition, actor)
      const submission = await ledger.submit('rules', 'rulebook_proposal', record, waitMs)
      const { proposal } = await readRulebooks(ledger.pool)
      return changeResult(submission, {
        subject: { rulebook: 'proposal' },
        state: { proposal },
        text: `approve it as somebody else: tallystream fraud approve ${proposal?.version ?? '<version>'}`,
      })
    },
  })
}

function addApprove(fraud: Command): void {
  addCommand<WriteOptions>(fraud, {
    usage: 'approve <version>',
    audited: true,
    summary: 'bring the proposal of that version into force; only somebody else than its author can',
    example: 'fraud approve 42 --actor ben',
    configure: withWriteOptions,
    run: async (context, options, [version]) => {
      const [actor, waitMs] = [actorOf(options), waitMsOf(options)]
      if (!VERSION.test(version!))
        throw new ConfigurationError(
          `expected the proposal's version (fraud rules), got ${JSON.stringify(version)}`,
        )
      const ledger = await openWriter(context)
      const record = approvalRecord(BigInt(version!), actor)
      const submission = await ledger.submit('rules', 'rulebook', record, waitMs)
      const shown = await readRulebooks(ledger.pool)
      return changeResult(submission, {
        subject: { rulebook: 'in force', approves: version },
        state: { in_force: shown.in_force },
        text: textOf(shown),
      })
    },
  })
}

interface ShownRulebook {
  readonly name: string
  readonly rulebook_version: number
  readonly rules: number
  /** Name and version; null where it has none. */
  readonly model: string | null
  /** Sequence of the batch that brought it. */
  readonly version: string
  readonly author: string
  /** null: not approved. */
  readonly approved_by: string | null
}

interface ShownRulebooks {
  readonly in_force: ShownRulebook | null
  readonly proposal: ShownRulebook | null
}

async function readRulebooks(pool: ReadPool): Promise<ShownRulebooks> {
  const rules = await listRules(pool)
  const shown = (type: StoredRule['type']): ShownRulebook | null => {
    const rule = rules.find((each) => each.type === type)
    if (rule === undefined || rule.definition === null) return null
    const book = parseRulebook(JSON.parse(rule.definition))
    return {
      name: book.name,
      rulebook_version: book.version,
      rules: book.rules.length,
      model: book.model === null ? null : `${book.model.name} ${book.model.version}`,
      version: rule.version.toString(),
      author: rule.author ?? rule.actor,
      approved_by: rule.author === null ? null : rule.actor,
    }
  }
  return { in_force: shown('rulebook'), proposal: shown('rulebook_proposal') }
}

function textOf({ in_force: inForce, proposal }: ShownRulebooks): string {
  const line = (what: string, book: ShownRulebook | null) =>
    book === null
      ? `${what}: none`
      : `${what}: ${book.name}, version ${book.rulebook_version}, ${book.rules} rules${book.model === null ? '' : `, model ${book.model}`}, by ${book.author}${book.approved_by === null ? `; approve it: tallystream fraud approve ${book.version}` : `, approved by ${book.approved_by}`}`
  return [line('in force', inForce), line('proposed', proposal)].join('\n')
}
