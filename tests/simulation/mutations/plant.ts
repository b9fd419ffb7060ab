/** Plants a mutation in a copy of the source and runs the simulation there, in a process of its own. */
import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { copySource } from '../../source-copy.ts'
import { type Failure, isFoundBy } from './found-by.ts'
import type { Mutation } from './mutations.ts'

const FOLDERS = ['domain', 'platform', 'processors', 'schemas', 'tests/simulation']

export interface Outcome {
  readonly name: string
  /** By a check that must find it. */
  readonly isFound: boolean
  readonly seed: number
  /** Of the seed that found it; of all where none did. */
  readonly steps: number
  readonly check: string
  readonly message: string
  /** Seeds that failed for another reason: they have shown nothing about it. */
  readonly others: readonly string[]
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

/** Runs a mutation from its seed on until the check that must find it has, or the steps are done. */
export const tryMutation = async (
  mutation: Mutation,
  { steps, each }: { readonly steps: number; readonly each: number },
): Promise<Outcome> => {
  const folder = plant(mutation)
  const others: string[] = []
  let { seed } = mutation
  let done = 0
  try {
    while (done < steps) {
      const report = await runSimulation(folder, { seed, steps: steps - done, each })
      done += report.steps as number
      const failure = report.failure as (Failure & { seed: number; steps: number }) | null
      if (failure === null) break
      if (isFoundBy(mutation, failure)) return { name: mutation.name, isFound: true, others, ...failure }
      others.push(`seed ${failure.seed}: ${failure.message.split('\n')[0]!}`)
      seed = failure.seed + 1
    }
    return {
      name: mutation.name,
      isFound: false,
      seed: mutation.seed,
      steps: done,
      check: '',
      message: '',
      others,
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
