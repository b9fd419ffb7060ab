/**
 * Load on the HTTP API with k6, open-loop: arrivals at a rate, whether or not answers come (no coordinated omission).
 *
 *     npx tallystream generate --transactions 1000 --mix plain --run web --accounts 200
 *     k6 run -e BASE_URL=http://127.0.0.1:8080 -e RATE=200 -e DURATION=60s loadtest/http/k6.js
 */
import { check } from 'k6'
import http from 'k6/http'

const BASE_URL = __ENV.BASE_URL || 'http://127.0.0.1:8080'
const PREFIX = __ENV.ACCOUNT_PREFIX || 'plain:web-'
const ACCOUNTS = Number(__ENV.ACCOUNTS || 200)
const CURRENCY = __ENV.CURRENCY || 'USD'
const RATE = Number(__ENV.RATE || 200)
const DURATION = __ENV.DURATION || '60s'

const arrivals = (exec, share) => ({
  exec,
  executor: 'constant-arrival-rate',
  rate: Math.max(1, Math.round(RATE * share)),
  timeUnit: '1s',
  duration: DURATION,
  preAllocatedVUs: 50,
  maxVUs: 2_000,
})

export const options = {
  scenarios: {
    balances: arrivals('balance', 0.6),
    payments: arrivals('pay', 0.3),
    lists: arrivals('list', 0.1),
  },
  thresholds: {
    checks: ['rate>0.999'],
    'http_req_duration{kind:balance}': ['p(99)<100'],
    'http_req_duration{kind:payment}': ['p(99)<250'],
  },
}

const account = () => `${PREFIX}${Math.floor(Math.random() * ACCOUNTS)}`

export function balance() {
  const response = http.get(http.url`${BASE_URL}/balance/${account()}`, { tags: { kind: 'balance' } })
  check(response, { 'a balance': ({ status }) => status === 200 })
}

/** Answered 202 as soon as the payment is in Kafka. */
export function pay() {
  const debit = account()
  let credit = account()
  while (credit === debit) credit = account()
  const body = {
    id: `load-${Date.now().toString(36)}-${__VU}-${__ITER}`,
    from: debit,
    to: credit,
    amount: `0.${String(1 + Math.floor(Math.random() * 99)).padStart(2, '0')}`,
    currency: CURRENCY,
  }
  const headers = { 'content-type': 'application/json' }
  const response = http.post(`${BASE_URL}/transactions`, JSON.stringify(body), {
    headers,
    tags: { kind: 'payment' },
  })
  check(response, { accepted: ({ status }) => status === 202 })
}

export function list() {
  const response = http.get(`${BASE_URL}/transactions?limit=20`, { tags: { kind: 'list' } })
  check(response, { 'a list': ({ status }) => status === 200 })
}
