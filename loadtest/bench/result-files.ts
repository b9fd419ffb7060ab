/** Results as files: each under the time and the commit that it is of. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ConfigurationError } from '#platform/errors.ts'
import type { BenchResult } from './result.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** The source's commit, with `+` behind it where files were changed since; `unknown` without git. */
export function sourceCommit(): string {
  const git = (...args: string[]) =>
    execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  try {
    const commit = git('rev-parse', '--short=12', 'HEAD')
    return git('status', '--porcelain', '--untracked-files=no') === '' ? commit : `${commit}+`
  } catch {
    return 'unknown'
  }
}

/** Writes a result. @returns its path. @throws ConfigurationError where that can't be */
export function writeResult(folder: string, result: BenchResult): string {
  const time = result.taken_at.slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-')
  const file = join(folder, `${time}-${result.commit.replace('+', '-changed')}.json`)
  try {
    mkdirSync(folder, { recursive: true })
    writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`)
    return file
  } catch (error) {
    throw new ConfigurationError(`expected a writable folder, found ${folder}`, { cause: error })
  }
}

/** Reads a result. @throws ConfigurationError where it isn't one */
export function readResult(file: string): BenchResult {
  try {
    const result = JSON.parse(readFileSync(file, 'utf8')) as BenchResult
    if (result.ratios === undefined || result.setting === undefined) throw new Error('not a result of bench')
    return result
  } catch (error) {
    const { message } = error as Error
    throw new ConfigurationError(`expected a result of bench, found ${file} (${message})`, { cause: error })
  }
}
