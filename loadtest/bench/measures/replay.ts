/** Deciding again, as an auditor does, beside deciding: `tallystream audit replay` on the ledger that was just measured. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runProgram } from '#infra/local/programs.ts'
import { OperatingError } from '#platform/errors.ts'
import { addressesOf } from '../../faults/engines.ts'
import type { BenchLedger, Lab } from '../lab.ts'
import type { Measurement } from '../measure.ts'
import { significant } from '../statistics.ts'
import { measureEngine } from './engine.ts'

const BIN = fileURLToPath(new URL('../../../cli/bin/tallystream.mjs', import.meta.url))
const TIMEOUT_MS = 600_000

/** The value is what replay decides a second, start-up not counted; it must find no difference. */
export async function measureReplay(lab: Lab): Promise<Measurement> {
  let replayed: Replayed | undefined
  const applied = await measureEngine(lab, {
    after: async (ledger) => {
      replayed = await replay(ledger)
    },
  })
  const { transactions, rate_per_s: rate } = replayed!
  return { value: rate, details: { apply_per_s: significant(applied.value), transactions } }
}

interface Replayed {
  readonly transactions: number
  readonly differences: number
  readonly rate_per_s: number
}

async function replay({ configuration }: BenchLedger): Promise<Replayed> {
  const folder = mkdtempSync(join(tmpdir(), 'tallystream-bench-'))
  try {
    const words = ['audit', 'replay', '--report', folder, '--checkpoints', folder, '--json']
    const result = await runProgram(process.execPath, [BIN, ...words], {
      timeoutMs: TIMEOUT_MS,
      environment: { ...addressesOf(configuration), LEDGER: configuration.ledger.name },
    })
    if (result.exitCode !== 0) {
      const said = (result.stdout + result.stderr).slice(-800)
      throw new OperatingError('bench_wrong_result', `audit replay ended with ${result.exitCode}: ${said}`)
    }
    return JSON.parse(result.stdout) as Replayed
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
