/**
 * The long form, by hand, on services of its own that are deleted afterwards:
 *   npx node tests/crash/run-kills.ts --transactions 200000 --kills 10 --json
 * Exit code 0: nothing lost, nothing twice. 1: something is wrong.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { resetStack, startStack } from '#infra/local/stack.ts'
import { defaultStackFolder } from '#infra/local/state.ts'
import { resolveConfiguration } from '#platform/config/configuration.ts'
import { reportText, runKills } from './kill-run.ts'

const { values } = parseArgs({
  options: {
    transactions: { type: 'string', default: '200000' },
    rate: { type: 'string', default: '4000' },
    kills: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
    /** A folder for the engines' logs. */
    logs: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})

const onProgress = (message: string) => void process.stderr.write(`${message}\n`)
const dataDir = join(dirname(defaultStackFolder), 'crash', String(process.pid))
// Without a handler a signal would end this process before the services are gone.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void resetStack({ dataDir }).finally(() => process.exit(130)))
}
try {
  const { endpoints } = await startStack({ dataDir, onProgress })
  if (values.logs !== undefined) mkdirSync(values.logs, { recursive: true })
  const report = await runKills({
    configuration: resolveConfiguration(
      { LEDGER: `kills_${randomBytes(4).toString('hex')}`, LOG_LEVEL: 'warn' },
      { localEndpoints: endpoints },
    ),
    transactions: Number(values.transactions),
    rate: Number(values.rate),
    kills: Number(values.kills),
    seed: Number(values.seed),
    onProgress,
    ...(values.logs === undefined ? {} : { logFolder: values.logs }),
  })
  const json = () =>
    JSON.stringify(report, (_key, part: unknown) => (typeof part === 'bigint' ? String(part) : part), 2)
  process.stdout.write(`${values.json ? json() : reportText(report)}\n`)
  process.exitCode = report.passed ? 0 : 1
} finally {
  await resetStack({ dataDir })
}
