/** Metrics and health of a process that serves nothing else: /metrics, /health/live, /health/ready. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Registry } from 'prom-client'
import { listenError } from './listen-error.ts'

export interface MetricsServer {
  /** Base address, with the port that was found. */
  readonly url: string
  close(): Promise<void>
}

/** Serves until closed. @param options.port 0 = any free one. @throws ConfigurationError `address_unavailable` where the port is taken */
export const serveMetrics = async (options: {
  readonly host: string
  readonly port: number
  readonly registry: Registry
  readonly ready: () => boolean
}): Promise<MetricsServer> => {
  const server = createServer((request, response) => {
    if (request.url === '/health/live') {
      response.end('{"live":true}\n')
    } else if (request.url === '/health/ready') {
      const ready = options.ready()
      response.statusCode = ready ? 200 : 503
      response.setHeader('content-type', 'application/json')
      response.end(`${JSON.stringify({ ready })}\n`)
    } else if (request.url === '/metrics') {
      options.registry.metrics().then(
        (text) => {
          response.setHeader('content-type', options.registry.contentType)
          response.end(text)
        },
        () => response.writeHead(500).end(),
      )
    } else {
      response.writeHead(404).end()
    }
  })
  server.requestTimeout = 5_000
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(listenError({ ...options, setting: 'METRICS_PORT' }, error)))
    server.listen(options.port, options.host, resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `http://${options.host}:${port}`,
    close: async () => {
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}
