/** Models and rulebooks in files. */
import { readFile } from 'node:fs/promises'
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

/** The rulebook of a file. @throws ConfigurationError with every problem */
export async function readRulebookFile(path: string): Promise<Rulebook> {
  try {
    return parseRulebook(await readJson(path))
  } catch (error) {
    if (!(error instanceof RulebookError)) throw error
    throw new ConfigurationError(`${path}:\n${error.message}`, { cause: error })
  }
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
