/**
 * Every check of the project in one run, cheap ones first: what `make test` and CI call. All steps run even when one fails, each
 * shows its result, and the last line is the sum: every test counts as itself, every other step as one check.
 */
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { addCounts, type Counts, countsOfReport, summaryLine } from './verify-counts.ts'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const reportFolder = join(root, '.tallystream', 'verify')

interface Step {
  name: string
  /** The npm script that a developer runs for this step alone. */
  script: string
  /** A vitest project: its tests are counted one by one. */
  vitest: boolean
  timeoutMs: number
}

const minute = 60_000
const steps: readonly Step[] = [
  { name: 'format', script: 'format:check', vitest: false, timeoutMs: 2 * minute },
  { name: 'lint', script: 'lint', vitest: false, timeoutMs: 2 * minute },
  { name: 'types', script: 'types', vitest: false, timeoutMs: 3 * minute },
  { name: 'boundaries', script: 'boundaries', vitest: false, timeoutMs: 3 * minute },
  { name: 'dead code', script: 'dead-code', vitest: false, timeoutMs: 3 * minute },
  { name: 'unit and property tests', script: 'test:unit', vitest: true, timeoutMs: 6 * minute },
  { name: 'simulation', script: 'test:simulation', vitest: true, timeoutMs: 12 * minute },
  { name: 'integration tests', script: 'test:integration', vitest: true, timeoutMs: 20 * minute },
  { name: 'faults', script: 'test:faults', vitest: true, timeoutMs: 15 * minute },
]

interface StepResult {
  step: Step
  counts: Counts
  seconds: number
}

/** Runs an npm script with its output shown; resolves to its exit code, or null when it took too long. */
function runScript(script: string, scriptArguments: string[], timeoutMs: number): Promise<number | null> {
  return new Promise((resolve) => {
    const child = spawn('npm', ['run', '--silent', script, '--', ...scriptArguments], {
      cwd: root,
      // A group of its own, so that a step which hangs ends with all its workers.
      detached: true,
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    const end = (signal: NodeJS.Signals) => {
      if (child.pid === undefined || child.exitCode !== null) return
      try {
        process.kill(-child.pid, signal)
      } catch {
        // The group ended between the question and the signal.
      }
    }
    // Asked first: the integration step stops its services then.
    const timers = [
      setTimeout(() => end('SIGTERM'), timeoutMs),
      setTimeout(() => end('SIGKILL'), timeoutMs + 30_000),
    ]
    const onSignal = (signal: NodeJS.Signals) => end(signal)
    process.on('SIGINT', onSignal)
    process.on('SIGTERM', onSignal)
    const finish = (code: number | null) => {
      for (const timer of timers) clearTimeout(timer)
      process.off('SIGINT', onSignal)
      process.off('SIGTERM', onSignal)
      resolve(code)
    }
    child.on('error', () => finish(null))
    child.on('exit', finish)
  })
}

async function runStep(step: Step): Promise<StepResult> {
  process.stdout.write(`\n=== ${step.name} (npm run ${step.script})\n`)
  const startedAt = performance.now()
  const reportFile = join(reportFolder, `${step.script.replace(':', '-')}.json`)
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${reportFile}`]
  const exitCode = await runScript(step.script, step.vitest ? reporters : [], step.timeoutMs)
  const counts = step.vitest
    ? countsOfReport(readReport(reportFile), exitCode)
    : { passed: exitCode === 0 ? 1 : 0, failed: exitCode === 0 ? 0 : 1, skipped: 0 }
  return { step, counts, seconds: (performance.now() - startedAt) / 1000 }
}

function readReport(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

function resultLine({ step, counts, seconds }: StepResult): string {
  const verdict = counts.failed === 0 ? 'ok    ' : 'FAILED'
  return `${verdict} ${step.name.padEnd(26)} ${seconds.toFixed(1).padStart(7)} s   ${summaryLine(counts)}`
}

rmSync(reportFolder, { recursive: true, force: true })
mkdirSync(reportFolder, { recursive: true })
let stopped = false
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => (stopped = true))
const results: StepResult[] = []
for (const step of steps) if (!stopped) results.push(await runStep(step))
let total = results.map((result) => result.counts).reduce(addCounts, { passed: 0, failed: 0, skipped: 0 })
// Steps that an interrupt left out were not passed.
total = addCounts(total, { passed: 0, failed: steps.length - results.length, skipped: 0 })
process.stdout.write(`\n${results.map(resultLine).join('\n')}\n\n${summaryLine(total)}\n`)
writeFileSync(join(reportFolder, 'summary.txt'), `${summaryLine(total)}\n`)
process.exitCode = total.failed === 0 ? 0 : 1
