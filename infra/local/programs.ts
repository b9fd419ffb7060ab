/** Runs other programs to their end: bounded in time, output kept for the error message. */
import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { type Environment, processEnvironment, resolveLocalSettings } from '#platform/config/environment.ts'
import { OperatingError } from '#platform/errors.ts'

/** The full path of a program on the search path, or undefined. */
export function findProgram(name: string): string | undefined {
  for (const folder of resolveLocalSettings().executablePath.split(delimiter)) {
    if (folder === '') continue
    const candidate = join(folder, name)
    try {
      accessSync(candidate, constants.X_OK)
      return candidate
    } catch {
      // Not in this folder; the next one may have it.
    }
  }
  return undefined
}

export interface ProgramOptions {
  timeoutMs: number
  environment?: Environment
  input?: string
  workingFolder?: string
  userId?: number | undefined
  groupId?: number | undefined
  /** Called for each line of standard output and error, as it comes. */
  onLine?: (line: string) => void
  signal?: AbortSignal | undefined
}

/** What a program left behind. */
export interface ProgramResult {
  exitCode: number | null
  stdout: string
  stderr: string
}

/** Runs a program and returns what it printed, whatever its exit code. Throws `program_failed` when it can't start or takes too long. */
export function runProgram(
  command: string,
  programArguments: readonly string[],
  options: ProgramOptions,
): Promise<ProgramResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, programArguments, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...processEnvironment(), ...options.environment },
      timeout: options.timeoutMs,
      killSignal: 'SIGKILL',
      ...(options.workingFolder === undefined ? {} : { cwd: options.workingFolder }),
      ...(options.userId === undefined ? {} : { uid: options.userId }),
      ...(options.groupId === undefined ? {} : { gid: options.groupId }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    })
    const output = { stdout: '', stderr: '' }
    const collect = (stream: 'stdout' | 'stderr') => {
      let rest = ''
      child[stream].setEncoding('utf8').on('data', (chunk: string) => {
        output[stream] += chunk
        if (options.onLine === undefined) return
        const lines = (rest + chunk).split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) options.onLine(line)
      })
    }
    collect('stdout')
    collect('stderr')
    child.stdin.on('error', () => {})
    child.stdin.end(options.input ?? '')
    child.on('error', (cause) => {
      reject(new OperatingError('program_failed', `Could not run ${command}: ${cause.message}`, { cause }))
    })
    child.on('close', (exitCode, signal) => {
      if (signal === 'SIGKILL') {
        const seconds = Math.round(options.timeoutMs / 1000)
        reject(new OperatingError('program_failed', `${command} was ended (limit ${seconds} s)`))
      } else resolve({ exitCode, ...output })
    })
  })
}

/** Runs a program that must succeed; otherwise the error shows its last lines. */
export async function runOrFail(
  command: string,
  programArguments: readonly string[],
  options: ProgramOptions,
): Promise<ProgramResult> {
  const result = await runProgram(command, programArguments, options)
  if (result.exitCode === 0) return result
  const tail = `${result.stdout}\n${result.stderr}`.trim().split('\n').slice(-15).join('\n')
  throw new OperatingError('program_failed', `${command} ended with ${result.exitCode}:\n${tail}`)
}
