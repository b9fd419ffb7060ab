/** Latency as a client sees it: posts a payment over HTTP and waits for its outcome, with nothing else going on. */
import { OperatingError } from '#platform/errors.ts'

export interface LatencySummary {
  readonly samples: number
  /** From sending the request to reading the outcome, ms. */
  readonly p50Ms: number
  readonly p99Ms: number
}

const SAMPLES = 100
const PAUSE_MS = 10
const TIMEOUT_MS = 15_000

/** Posts payments one after another, each waiting for its outcome. @throws OperatingError `demo_api_failed` */
export const measureLatency = async (
  baseUrl: string,
  accounts: { readonly from: string; readonly to: string; readonly currency: string },
): Promise<LatencySummary> => {
  const samplesMs: number[] = []
  for (let sample = 0; sample < SAMPLES; sample += 1) {
    const started = performance.now()
    await post(baseUrl, accounts)
    samplesMs.push(performance.now() - started)
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
  }
  const sorted = samplesMs.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  return { samples: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99) }
}

const post = async (baseUrl: string, accounts: object): Promise<void> => {
  const response = await fetch(`${baseUrl}/transactions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', prefer: 'wait=10', 'x-actor': 'demo' },
    body: JSON.stringify({ ...accounts, amount: '0.01' }),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  })
  const text = await response.text()
  if (response.ok) return
  throw new OperatingError('demo_api_failed', `POST /transactions: status ${response.status}: ${text}`)
}
