/** The containers' way to the same four services; skipped, and seen to be, where no container engine answers. */
import { expect, test } from 'vitest'
import { containersUnavailable, startContainers } from '#infra/local/containers.ts'
import { kafkaAnswers, postgresAnswers, redisAnswers, registryAnswers } from '#infra/local/probes.ts'

const unavailable = await containersUnavailable()

test.skipIf(unavailable !== undefined)(
  `four containers start and answer${unavailable === undefined ? '' : ` (no container engine: ${unavailable})`}`,
  async () => {
    const containers = await startContainers({ onProgress: () => {} })
    try {
      const {
        kafkaBrokers = '',
        schemaRegistryUrl = '',
        databaseUrl = '',
        redisUrl = '',
      } = containers.endpoints
      const kafka = new URL(`tcp://${kafkaBrokers}`)
      const postgres = new URL(databaseUrl)
      const redis = new URL(redisUrl)
      expect(await kafkaAnswers(kafka.hostname, Number(kafka.port))).toBe(true)
      expect(await registryAnswers(schemaRegistryUrl)).toBe(true)
      expect(await postgresAnswers(postgres.hostname, Number(postgres.port), postgres.username)).toBe(true)
      expect(await redisAnswers(redis.hostname, Number(redis.port))).toBe(true)
    } finally {
      await containers.stop()
    }
  },
  10 * 60_000,
)
