/** The independent reader gives back keys, values, headers and nulls byte for byte, whatever they hold. */
import { expect, inject, test } from 'vitest'
import { javaConsole } from '#infra/local/java-console.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { KafkaAdmin } from '#platform/kafka/admin.ts'
import { makeKafka } from '#platform/kafka/client.ts'
import { BatchingProducer } from '#platform/kafka/producer.ts'

const everyByte = Buffer.from(Array.from({ length: 256 }, (_, index) => index))

test('bytes that look like separators, escapes or null come back as they were', async () => {
  const { kafka: kafkaConfiguration, ledger } = testConfiguration('java_console')
  const kafka = makeKafka(kafkaConfiguration, { clientId: 'console-test' })
  const admin = new KafkaAdmin(kafka)
  const producer = new BatchingProducer({ kafka })
  const topic = `${ledger.topicPrefix}bytes`
  const sent = [
    { key: 'k|a,b', value: everyByte, headers: { first: Buffer.from('a,b:c'), second: everyByte } },
    { key: null, value: null, headers: {} },
    { key: 'null', value: Buffer.from('\\x41 \\ null'), headers: {} },
  ]
  try {
    await admin.ensureTopics([{ name: topic, partitions: 1, replication: 1, config: {} }])
    await producer.sendAll(sent.map((record) => ({ topic, partition: 0, ...record })))
  } finally {
    await producer.close()
    await admin.close()
  }
  const brokers = inject('stackEndpoints').kafkaBrokers ?? ''
  const records = await javaConsole({ brokers, topic, recordsMax: sent.length })
  expect(records.map(({ key, value }) => ({ key: key?.toString() ?? null, value: value ?? null }))).toEqual(
    sent.map(({ key, value }) => ({ key, value })),
  )
  expect(records[0]?.headers).toEqual([
    { name: 'first', value: Buffer.from('a,b:c') },
    { name: 'second', value: everyByte },
  ])
  expect(records.map((record) => record.offset)).toEqual([0, 1, 2])
  const last = await javaConsole({ brokers, topic, partition: 0, offset: 2, recordsMax: 1 })
  expect(last.map((record) => record.key?.toString())).toEqual(['null'])
})
