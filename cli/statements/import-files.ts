/** `statements import`: statement files, named or dropped into a folder, published to the topic `statements`. */
import { setTimeout as sleep } from 'node:timers/promises'
import { BulkClient } from '#cli/bulk-client.ts'
import type { CommandContext, CommandResult } from '#cli/command.ts'
import { actorOf } from '#cli/options.ts'
import { readStatementMapping } from '#connectors/statements/csv-mapping.ts'
import { importStatementFile, type StatementImport } from '#connectors/statements/import.ts'
import type { StatementValue } from '#domain/statements/record.ts'
import { ConfigurationError, OperatingError } from '#platform/errors.ts'
import { encoderOf } from '#platform/schema-registry/contracts.ts'
import { watchDropFolder } from './drop-folder.ts'

export interface ImportOptions {
  actor: string
  mapping?: string
  watch?: string
}

type Importer = (file: string) => Promise<StatementImport>

const POLL_MS = 2_000
const RETRY_PAUSE_MS = { first: 1_000, most: 30_000 }

/** Exit code 1 where a file was refused, has lines that can't be read, or doesn't add up. */
export async function importStatements(
  context: CommandContext,
  options: ImportOptions,
  files: readonly string[],
): Promise<CommandResult> {
  if ((files.length === 0) === (options.watch === undefined)) {
    throw new ConfigurationError('expected files, or --watch with a folder')
  }
  const importFile = await openImporter(context, options)
  if (options.watch !== undefined) return await watch(context, options.watch, importFile)
  const imports: (StatementImport & { file: string })[] = []
  for (const file of files) {
    context.signal.throwIfAborted()
    imports.push({ file, ...(await importFile(file)) })
  }
  const text = imports.map(({ file, ...one }) => lineOf(file, one)).join('\n')
  return { json: imports, text, exitCode: imports.every(isFine) ? 0 : 1 }
}

async function openImporter(context: CommandContext, options: ImportOptions): Promise<Importer> {
  const mapping = options.mapping === undefined ? null : await readStatementMapping(options.mapping)
  const actor = actorOf(options)
  const publisher = await new BulkClient(context).publisher()
  const encoder = encoderOf<StatementValue>(publisher.contracts.statements)
  return (file) =>
    importStatementFile(file, {
      mapping,
      actor,
      signal: context.signal,
      encode: (value) => encoder.encode(value),
      topic: publisher.topicName('statements'),
      send: (records) => publisher.encoded(records),
    })
}

const isFine = ({ error, rejected, statements }: StatementImport): boolean =>
  error === null &&
  rejected === 0 &&
  statements.every(({ proof, controls }) => proof !== 'mismatch' && controls !== 'mismatch')

function lineOf(file: string, { error, format, statements, published, rejected }: StatementImport): string {
  if (error !== null) return `${file}: refused: ${error.message} (${error.code})`
  const wrong = statements.filter(({ proof, controls }) => proof === 'mismatch' || controls === 'mismatch')
  const notes = [
    ...(rejected > 0 ? [`${rejected} lines not read`] : []),
    ...(wrong.length > 0 ? [`${wrong.length} statements do not add up`] : []),
  ]
  return [`${file}: ${format}, ${statements.length} statements, ${published} records`, ...notes].join(', ')
}

/** Stays up: a broker that is away is waited for, a file that is wrong is put aside. */
async function watch(context: CommandContext, folder: string, importFile: Importer): Promise<CommandResult> {
  const counts = { imported: 0, refused: 0 }
  const { signal } = context
  let pauseMs = RETRY_PAUSE_MS.first
  const take = async (path: string): Promise<'imported' | 'refused'> => {
    const imported = await importFile(path)
    pauseMs = RETRY_PAUSE_MS.first
    context.progress(lineOf(path, imported))
    const outcome = imported.error === null ? 'imported' : 'refused'
    counts[outcome] += 1
    return outcome
  }
  context.progress(`watching ${folder}`)
  while (!signal.aborted) {
    try {
      await watchDropFolder({ folder, signal, pollMs: POLL_MS, take })
    } catch (error) {
      if (signal.aborted) break
      if (!(error instanceof OperatingError) || !error.retriable) throw error
      context.progress(`${error.message}; again in ${pauseMs / 1_000} s`)
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined)
      pauseMs = Math.min(pauseMs * 2, RETRY_PAUSE_MS.most)
    }
  }
  return { json: counts, text: `${counts.imported} files imported, ${counts.refused} refused` }
}
