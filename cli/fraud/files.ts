/** Models and rulebooks in files. */
import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { builtinModelJson, builtinRulebookJson, builtinRulebookWith } from '#domain/fraud/builtin/builtin.ts'
import { type Model, ModelError, readModel } from '#domain/fraud/model/model.ts'
import type { Rulebook } from '#domain/fraud/rulebook/definition.ts'
import { parseRulebook, RulebookError } from '#domain/fraud/rulebook/parse.ts'
import { ConfigurationError } from '#platform/errors.ts'

/** The model of a file. @throws ConfigurationError */
export async function readModelFile(path: string): Promise<Model> {
  try {
    return readModel(await readJson(path))
  } catch (error) {
    if (!(error instanceof ModelError)) throw error
    throw new ConfigurationError(`${path}: ${error.message}`, { cause: error })
  }
}

/** Which rulebook, and the model that goes into it. */
export interface RulebookSource {
  /** Absent: the built-in rulebook. */
  readonly file?: string | undefined
  /** A file, or BUILT_IN; absent: the one that the rulebook has, if any. */
  readonly model?: string | undefined
}

const BUILT_IN = 'built_in'

/** The option of commands on rulebooks. */
export const withModelOption = (command: Command): Command =>
  command.option(
    '--model <file>',
    `a model of \`fraud train\` to go into the rulebook, for rules that look at model_score; ${BUILT_IN}: the one that comes along`,
  )

/** A rulebook and its JSON, as it would be proposed. @throws ConfigurationError with every problem */
export async function readRulebook({
  file,
  model,
}: RulebookSource): Promise<{ readonly json: unknown; readonly book: Rulebook }> {
  const json = await rulebookJson({ file, model })
  try {
    return { json, book: parseRulebook(json) }
  } catch (error) {
    if (!(error instanceof RulebookError)) throw error
    throw new ConfigurationError(`${file ?? 'the built-in rulebook'}:\n${error.message}`, { cause: error })
  }
}

async function rulebookJson({ file, model }: RulebookSource): Promise<unknown> {
  const modelJson = model === undefined || model === BUILT_IN ? builtinModelJson() : await readJson(model)
  if (file === undefined) return model === undefined ? builtinRulebookJson() : builtinRulebookWith(modelJson)
  const json = await readJson(file)
  const isObject = typeof json === 'object' && json !== null && !Array.isArray(json)
  return model === undefined || !isObject ? json : { ...json, model: modelJson }
}

/** A file's JSON. @throws ConfigurationError */
export async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as unknown
  } catch (error) {
    const { message } = error as Error
    throw new ConfigurationError(`expected a readable JSON file, got ${path} (${message})`, { cause: error })
  }
}
