/** Reads balances the way a client does, over HTTP, a few at a time. */
import { Agent, request } from 'node:http'
import { OperatingError } from '#platform/errors.ts'

export interface ServedBalance {
  readonly account_id: string
  /** Major units; text, so that nothing is rounded. */
  readonly balance: string
  readonly cached: boolean
}

const CONCURRENCY = 16
const TIMEOUT_MS = 5_000

/** Reads the balances of all given accounts. @throws OperatingError `demo_api_failed` */
export const readServedBalances = async (
  baseUrl: string,
  accountIds: readonly string[],
): Promise<ServedBalance[]> => {
  const agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY })
  const answers = new Array<ServedBalance>(accountIds.length)
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < accountIds.length) {
      const place = next++
      answers[place] = await readOne(agent, `${baseUrl}/balance/${encodeURIComponent(accountIds[place]!)}`)
    }
  }
  try {
    await Promise.all(Array.from({ length: CONCURRENCY }, worker))
  } finally {
    agent.destroy()
  }
  return answers
}

const readOne = (agent: Agent, url: string): Promise<ServedBalance> =>
  new Promise((resolve, reject) => {
    const fail = (cause: unknown) =>
      reject(new OperatingError('demo_api_failed', `${url}: ${String(cause)}`, { cause }))
    const sent = request(url, { agent, timeout: TIMEOUT_MS }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (part: string) => {
        body += part
      })
      response.on('end', () => {
        if (response.statusCode !== 200) return fail(`status ${response.statusCode}: ${body}`)
        resolve(parseBalance(body))
      })
    })
    sent.on('timeout', () => sent.destroy(new Error('timed out')))
    sent.on('error', fail)
    sent.end()
  })

const parseBalance = (body: string): ServedBalance =>
  JSON.parse(body, (_name, value: unknown, context?: { source?: string }) =>
    typeof value === 'number' ? (context?.source ?? String(value)) : value,
  ) as ServedBalance
