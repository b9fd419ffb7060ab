/**
 * A place for one engine process: its own proxy in front of each service, so that a fault can meet one process alone and a trap
 * knows whom it caught. A process that takes a dead one's place uses the same proxies.
 */
import type { Configuration } from '#platform/config/configuration.ts'
import type { Engine } from './engines.ts'
import { KafkaReader } from './proxy/kafka-protocol.ts'
import { PostgresReader } from './proxy/postgres-protocol.ts'
import { RedisReader } from './proxy/redis-protocol.ts'
import { TcpProxy } from './proxy/tcp-proxy.ts'

export type ProxiedService = 'kafka' | 'registry' | 'postgres' | 'redis'

/** Where the services really are; may change at a restart. */
export interface UpstreamPorts {
  kafka(): number
  registry(): number
  postgres(): number
  redis(): number
}

export class Slot {
  readonly proxies: Readonly<Record<ProxiedService, TcpProxy>>
  /** Who is there now, or was last. */
  engine: Engine | undefined

  private constructor(proxies: Slot['proxies']) {
    this.proxies = proxies
  }

  /** @param kafkaPort the port under which the broker's listener for this slot is advertised */
  static async open(upstream: UpstreamPorts, kafkaPort: number): Promise<Slot> {
    const { kafka, registry, postgres, redis } = upstream
    return new Slot({
      kafka: await TcpProxy.open({
        upstreamPort: kafka,
        port: kafkaPort,
        makeReader: () => new KafkaReader(),
      }),
      registry: await TcpProxy.open({ upstreamPort: registry }),
      postgres: await TcpProxy.open({ upstreamPort: postgres, makeReader: () => new PostgresReader() }),
      redis: await TcpProxy.open({ upstreamPort: redis, makeReader: () => new RedisReader() }),
    })
  }

  /** The services' addresses as this slot's process is to use them. */
  endpoints(configuration: Configuration): Record<string, string> {
    const { kafka, registry, postgres, redis } = this.proxies
    return {
      KAFKA_BROKERS: `127.0.0.1:${kafka.port}`,
      SCHEMA_REGISTRY_URL: withPort(configuration.schemaRegistry.url, registry.port),
      DATABASE_URL: withPort(configuration.postgres.url, postgres.port),
      REDIS_URL: withPort(configuration.redis.url, redis.port),
    }
  }

  async close(): Promise<void> {
    await Promise.all(Object.values(this.proxies).map((proxy) => proxy.close()))
  }
}

const withPort = (url: string, port: number): string => {
  const changed = new URL(url)
  changed.port = String(port)
  return changed.href
}
