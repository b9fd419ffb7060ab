/** Kafka with encryption and login (SASL_SSL, SCRAM), as managed clusters ask for it: from configuration to records. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { javaConsole } from '#infra/local/java-console.ts'
import { type RunningStack, resetStack, startStack } from '#infra/local/stack.ts'
import { type KafkaConfiguration, resolveConfiguration } from '#platform/config/configuration.ts'
import type { Environment } from '#platform/config/environment.ts'
import { KafkaAdmin } from '#platform/kafka/admin.ts'
import { makeKafka } from '#platform/kafka/client.ts'
import { BatchingProducer } from '#platform/kafka/producer.ts'

const folder = mkdtempSync(join(tmpdir(), 'tallystream-sasl-test-'))
const sasl = { username: 'ada', password: 'not-a-real-secret' }
const topic = 'sasl'
let stack: RunningStack

beforeAll(async () => {
  stack = await startStack({ dataDir: folder, services: ['kafka'], kafkaOptions: { sasl } })
})
afterAll(async () => {
  await stack.stop()
  await resetStack({ dataDir: folder })
  rmSync(folder, { recursive: true, force: true })
})

function configuration(environment: Environment): KafkaConfiguration {
  const elsewhere = {
    schemaRegistryUrl: 'http://127.0.0.1:1',
    databaseUrl: 'postgres://127.0.0.1:1',
    redisUrl: 'redis://127.0.0.1:1',
  }
  const settings = {
    KAFKA_BROKERS: stack.endpoints.kafkaSaslBrokers,
    KAFKA_SSL_CA_FILE: stack.endpoints.kafkaSslCaFile,
    KAFKA_SASL_USERNAME: sasl.username,
    KAFKA_SASL_PASSWORD: sasl.password,
    ...environment,
  }
  return resolveConfiguration(settings, { localEndpoints: elsewhere }).kafka
}

/** Makes the topic and sends one record. */
async function sendOne(kafkaConfiguration: KafkaConfiguration, value: string): Promise<void> {
  const kafka = makeKafka(kafkaConfiguration, { clientId: 'sasl-test' })
  const admin = new KafkaAdmin(kafka, { timeoutMs: 8000 })
  const producer = new BatchingProducer({ kafka })
  try {
    await admin.ensureTopics([{ name: topic, partitions: 1, replication: 1, config: {} }])
    await producer.send({ topic, key: 'k', value: Buffer.from(value) })
  } finally {
    await producer.close()
    await admin.close()
  }
}

test('both SCRAM mechanisms log in over TLS, and what they send is there', async () => {
  for (const mechanism of ['scram-sha-256', 'scram-sha-512']) {
    await sendOne(configuration({ KAFKA_SASL_MECHANISM: mechanism }), mechanism)
  }
  const records = await javaConsole({ brokers: stack.endpoints.kafkaBrokers ?? '', topic, recordsMax: 2 })
  expect(records.map((record) => record.value?.toString())).toEqual(['scram-sha-256', 'scram-sha-512'])
})

test('a wrong password is refused', async () => {
  const wrong = configuration({ KAFKA_SASL_MECHANISM: 'scram-sha-512', KAFKA_SASL_PASSWORD: 'guessed' })
  await expect(sendOne(wrong, 'never')).rejects.toThrow()
})

test("a broker whose certificate isn't trusted is not spoken to", async () => {
  const untrusting = { ...configuration({ KAFKA_SASL_MECHANISM: 'scram-sha-512' }), sslCa: undefined }
  await expect(sendOne(untrusting, 'never')).rejects.toThrow()
})
