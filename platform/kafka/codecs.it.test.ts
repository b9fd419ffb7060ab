/** All compression codecs: written by Java and read here, written here and read by Java. */
import { afterAll, expect, it } from 'vitest'
import { ensureJavaParts } from '#infra/local/downloads.ts'
import { javaConsole } from '#infra/local/java-console.ts'
import { runOrFail } from '#infra/local/programs.ts'
import { admin, brokers, freshTopic, kafka, readAll, testConsumer, valuesOf } from './kafka.fixtures.ts'
import { BatchingProducer } from './producer.ts'

afterAll(() => admin.close())

const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
const values = Array.from({ length: 3_000 }, (_, index) => `value ${index} ${'abc'.repeat(index % 50)}`)

async function readHere(topic: string): Promise<string[]> {
  const reader = testConsumer([topic])
  await reader.consumer.start()
  const records = await readAll(reader, { count: values.length })
  await reader.consumer.stop()
  expect(reader.incidents).toEqual([])
  return valuesOf(records)
}

it.each(CODECS)("Java's %s batches are read", async (codec) => {
  const topic = await freshTopic(`java_${codec}`)
  const { classPath } = await ensureJavaParts({ onProgress: () => {} })
  await runOrFail(
    'java',
    [
      ...['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', classPath],
      'org.apache.kafka.tools.ConsoleProducer',
      ...['--bootstrap-server', brokers, '--topic', topic, '--compression-codec', codec],
      ...['--batch-size', '200000', '--timeout', '50'],
    ],
    { timeoutMs: 60_000, input: `${values.join('\n')}\n` },
  )
  expect(await readHere(topic)).toEqual(values)
})

it.each(CODECS)('%s batches written here are read by Java and here', async (compression) => {
  const topic = await freshTopic(`ours_${compression}`)
  const producer = new BatchingProducer({ kafka, compression })
  await producer.sendAll(values.map((value) => ({ topic, key: null, value: Buffer.from(value) })))
  await producer.close()
  expect(await readHere(topic)).toEqual(values)
  const java = await javaConsole({ brokers, topic, recordsMax: values.length })
  expect(java.map(({ value }) => String(value))).toEqual(values)
})
