/** Plants a mutation in a copy of the source and runs the simulation there, in a process of its own. */
import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { copySource } from '../../source-copy.ts'
import type { Mutation } from './mutations.ts'

const FOLDERS = ['domain', 'platform', 'processors', 'schemas', 'tests/simulation']

export interface Outcome {
  readonly name: string
  readonly isFound: boolean
  readonly seed: number
  readonly seeds: number
  /** Of the seed that found it; of all where none did. */
  readonly steps: number
  readonly check: string
  readonly message: string
}

/** The source with the mutation in it. @throws Error where its text isn't found exactly once */
const plant = (mutation: Mutation): string =>
  copySource(
    join('mutations', mutation.name),
    FOLDERS,
    mutation.changes.map(({ file, find, replace }) => ({
      file,
      change: (text) => {
        const parts = text.split(find)
        if (parts.length === 2) return parts.join(replace)
        throw new Error(
          `mutation ${mutation.name}: expected its text once in ${file}, found it ${parts.length - 1} times`,
        )
      },
    })),
  )

/** Runs a mutation from its seed on until something is found or the steps are done. */
export const tryMutation = async (
  mutation: Mutation,
  options: { readonly steps: number; readonly each: number },
): Promise<Outcome> => {
  const folder = plant(mutation)
  try {
    const report = await runSimulation(folder, { seed: mutation.seed, ...options })
    const failure = report.failure as {
      seed: number
      steps: number
      check: string
      message: string
    } | null
    return {
      name: mutation.name,
      isFound: failure !== null,
      seed: failure?.seed ?? mutation.seed,
      seeds: report.seeds as number,
      steps: failure?.steps ?? (report.steps as number),
      check: failure?.check ?? '',
      message: failure?.message ?? '',
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Runs the simulation of a folder. @returns its report */
export const runSimulation = (
  folder: string,
  options: { readonly seed: number; readonly steps: number; readonly each: number; readonly once?: boolean },
): Promise<Record<string, unknown>> =>
  new Promise((resolve, reject) => {
    const args = [
      '--seed',
      String(options.seed),
      '--steps',
      String(options.steps),
      '--each',
      String(options.each),
    ]
    const child = spawn(
      process.execPath,
      [
        join(folder, 'tests/simulation/run.ts'),
        '--json',
        ...args,
        ...(options.once === true ? ['--once'] : []),
      ],
      { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] },
    )
    let output = ''
    let errors = ''
    child.stdout.on('data', (data: Buffer) => {
      output += data.toString('utf8')
    })
    child.stderr.on('data', (data: Buffer) => {
      errors += data.toString('utf8')
    })
    child.on('error', reject)
    child.on('close', () => {
      try {
        resolve(JSON.parse(output) as Record<string, unknown>)
      } catch {
        reject(new Error(`the simulation gave no report: ${output.slice(-500)} ${errors.slice(-2_000)}`))
      }
    })
  })
