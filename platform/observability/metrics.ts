/** What operators see of the API: Prometheus metrics of requests, the balance cache, waiting clients and publishing. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

const SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30]

/** Metrics of one API process, in a registry of their own. */
export const makeApiMetrics = () => {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry, prefix: 'tallystream_api_' })
  let auditNotes = () => ({ waiting: 0, lost: 0 })
  new Gauge({
    name: 'tallystream_api_audit_notes',
    help: 'Notes of access that are not in the audit log yet, by state: waiting, or lost because too many waited',
    labelNames: ['state'] as const,
    registers,
    collect() {
      for (const [state, count] of Object.entries(auditNotes())) this.set({ state }, count)
    },
  })
  return {
    registry,
    /** Says where the audit log's waiting notes are counted. */
    watchAuditNotes: (read: typeof auditNotes): void => {
      auditNotes = read
    },
    auditFailures: new Counter({
      name: 'tallystream_api_audit_failures_total',
      help: 'Times that notes of access could not be appended to the audit log',
      registers,
    }),
    requestSeconds: new Histogram({
      name: 'tallystream_http_request_seconds',
      help: 'How long requests took, by method, route pattern and status',
      labelNames: ['method', 'route', 'status'] as const,
      buckets: SECONDS,
      registers,
    }),
    cacheLookups: new Counter({
      name: 'tallystream_balance_cache_lookups_total',
      help: 'Balance reads: hit, miss, stale (nobody vouches for the cache) or unavailable (Redis is away)',
      labelNames: ['result'] as const,
      registers,
    }),
    waiters: new Gauge({
      name: 'tallystream_http_waiters',
      help: 'Requests that wait for an outcome now',
      registers,
    }),
    waits: new Counter({
      name: 'tallystream_http_waits_total',
      help: 'Waits for an outcome by how they ended: decided, timed_out or refused (too many)',
      labelNames: ['result'] as const,
      registers,
    }),
    published: new Counter({
      name: 'tallystream_gateway_published_total',
      help: 'Records published, by topic and result',
      labelNames: ['topic', 'result'] as const,
      registers,
    }),
    publishSeconds: new Histogram({
      name: 'tallystream_gateway_publish_seconds',
      help: 'How long publishing a record took until all replicas had it',
      buckets: SECONDS,
      registers,
    }),
  }
}

export type ApiMetrics = ReturnType<typeof makeApiMetrics>
