/** A server as a process of its own: started, waited for until it says where it listens, and ended. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Configuration } from '#platform/config/configuration.ts'
import { processEnvironment } from '#platform/config/environment.ts'
import { OperatingError } from '#platform/errors.ts'
import { addressesOf } from '../faults/engines.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const START_TIMEOUT_MS = 30_000
const STOP_TIMEOUT_MS = 10_000
const LINES_KEPT = 20

export interface Served {
  readonly url: string
  readonly pid: number
  stop(): Promise<void>
}

/** The ledger's API, as `tallystream api` serves it. */
export const serveApi = (configuration: Configuration): Promise<Served> =>
  serve(['cli/bin/tallystream.mjs', 'api'], {
    ...addressesOf(configuration),
    LEDGER: configuration.ledger.name,
    API_PORT: '0',
  })

/** Runs a script of this project with Node. @throws OperatingError `bench_timeout` with what it said, where it doesn't listen in time */
export async function serve(
  command: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Served> {
  const child = spawn(process.execPath, command, {
    cwd: ROOT,
    env: { ...processEnvironment(), ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const endNow = () => void child.kill('SIGKILL')
  process.on('exit', endNow)
  const ended = new Promise<void>((resolve) => child.on('exit', () => resolve()))
  const stop = async () => {
    child.kill('SIGTERM')
    const timer = setTimeout(endNow, STOP_TIMEOUT_MS)
    await ended
    clearTimeout(timer)
    process.off('exit', endNow)
  }
  const lines: string[] = []
  const listening = new Promise<string>((resolve, reject) => {
    const fail = (what: string) =>
      reject(new OperatingError('bench_timeout', `${command.join(' ')} ${what}:\n${lines.join('\n')}`))
    const timer = setTimeout(() => fail(`doesn't listen within ${START_TIMEOUT_MS} ms`), START_TIMEOUT_MS)
    void ended.then(() => fail('ended by itself'))
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        lines.push(line)
        if (lines.length > LINES_KEPT) lines.shift()
        const url = /"url":"(http[^"]+)".*"msg":"listening"/.exec(line)?.[1]
        if (url === undefined) return
        clearTimeout(timer)
        resolve(url)
      })
    }
  })
  try {
    return { url: await listening, pid: child.pid!, stop }
  } catch (error) {
    await stop()
    throw error
  }
}
