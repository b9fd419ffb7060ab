/** The ingest consumer on a real broker: contiguity, bounded buffers, rebalances with claims, restarts. */
import { createRequire } from 'node:module'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { admin, freshTopic, kafka, readAll, testConsumer, until, valuesOf } from './kafka.fixtures.ts'
import type { ConsumerGroupInternals } from './kafkajs-cures.ts'
import { BatchingProducer } from './producer.ts'

const require = createRequire(import.meta.url)
const ConsumerGroup = require('kafkajs/src/consumer/consumerGroup') as {
  prototype: { fetch(this: ConsumerGroupInternals, nodeId: number): Promise<unknown[]> }
}
const originalFetch = ConsumerGroup.prototype.fetch
const producer = new BatchingProducer({ kafka, compression: 'none' })

afterEach(() => {
  ConsumerGroup.prototype.fetch = originalFetch
})
afterAll(async () => {
  await producer.close()
  await admin.close()
})

/** Numbered records, spread over the partitions in turn. */
async function produce(
  topic: string,
  count: number,
  options: { partitions?: number; bytes?: number; first?: number } = {},
) {
  const { partitions = 1, bytes = 10, first = 0 } = options
  await producer.sendAll(
    Array.from({ length: count }, (_, index) => ({
      topic,
      partition: index % partitions,
      key: null,
      value: Buffer.from(String(first + index).padEnd(bytes)),
    })),
  )
}
const numbersOf = (values: string[]): number[] => values.map(Number).toSorted((a, b) => a - b)
const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index)

describe('contiguity', () => {
  it('a fetch from a wrong position is dropped and read again: nothing is lost, nothing twice', async () => {
    const topic = await freshTopic('forced')
    await produce(topic, 100)
    let forced = 0
    ConsumerGroup.prototype.fetch = async function (nodeId) {
      if (forced++ < 3) this.seek({ topic, partition: 0, offset: String(forced * 20) })
      return await originalFetch.call(this, nodeId)
    }
    const reader = testConsumer([topic])
    await reader.consumer.start()
    const records = await readAll(reader, { count: 100 })
    expect(valuesOf(records).map(Number)).toEqual(upTo(100))
    expect(reader.consumer.status().refusedFetches).toBeGreaterThan(0)
    expect(reader.incidents).toEqual([])
    await reader.consumer.stop()
  })

  it('wrong again and again is an incident', async () => {
    const topic = await freshTopic('wrong')
    await produce(topic, 100)
    ConsumerGroup.prototype.fetch = async function (nodeId) {
      this.seek({ topic, partition: 0, offset: '50' })
      return await originalFetch.call(this, nodeId)
    }
    const reader = testConsumer([topic])
    await reader.consumer.start()
    await until(() => reader.incidents.length > 0)
    expect(reader.incidents).toMatchObject([
      { code: 'position_not_contiguous', topic, partition: 0, detail: 'fetched at 50, expected 0' },
    ])
    expect(await reader.consumer.take({ recordsMax: 10, bytesMax: 1000, waitMs: 200 })).toEqual([])
    await reader.consumer.stop()
  })
})

describe('buffers', () => {
  it('stay bounded while nobody takes, and everything comes once somebody does', async () => {
    const topic = await freshTopic('bounded', 2)
    const bytes = 1_000
    await produce(topic, 10_000, { partitions: 2, bytes })
    const reader = testConsumer([topic], { bytesPerPartitionMax: 300_000 })
    await reader.consumer.start()
    await until(() => reader.consumer.lag().length === 2)
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    const chunks = await reader.consumer.take({ recordsMax: 1e6, bytesMax: 1e9, waitMs: 0 })
    for (const chunk of chunks) {
      reader.positions.set(`${topic}:${chunk.partition}`, chunk.nextOffset)
      // The limit, and at most one fetch of a mebibyte above it; the partition holds five.
      expect(chunk.bytes).toBeLessThan(300_000 + 1_100_000)
    }
    const buffered = chunks.flatMap(({ records }) => records)
    const rest = await readAll(reader, { count: 10_000 - buffered.length })
    expect(numbersOf(valuesOf([...buffered, ...rest]))).toEqual(upTo(10_000))
    expect(reader.consumer.lag().map(({ lag }) => lag)).toEqual([0n, 0n])
    await reader.consumer.stop()
  })

  it('a new record is there within a few tens of milliseconds', async () => {
    const topic = await freshTopic('latency')
    const reader = testConsumer([topic])
    await reader.consumer.start()
    await until(() => reader.consumer.status().reading.length === 1)
    const waits: number[] = []
    for (let round = 0; round < 10; round++) {
      const taking = reader.consumer.take({ recordsMax: 10, bytesMax: 1e6, waitMs: 5_000 })
      await produce(topic, 1)
      const writtenMs = performance.now()
      await taking
      waits.push(performance.now() - writtenMs)
    }
    expect(waits.toSorted((a, b) => a - b)[5]).toBeLessThan(100)
    await reader.consumer.stop()
  })
})

describe('the group', () => {
  it('hands partitions over with release and claim; together the members read everything', async () => {
    const topic = await freshTopic('rebalance', 4)
    const positions = new Map<string, bigint>()
    const first = testConsumer([topic], { positions, name: 'first:' })
    const second = testConsumer([topic], { positions, name: 'second:' })
    await first.consumer.start()
    await produce(topic, 1_000, { partitions: 4 })
    const seen = valuesOf(await readAll(first, { count: 1_000 }))
    await second.consumer.start()
    await until(
      () => second.consumer.status().reading.length === 2 && first.consumer.status().reading.length === 2,
    )
    expect(first.events[0]).toBe('claim first:0,1,2,3')
    expect(first.events[1]).toBe('release first:')
    expect(first.events.at(-1)).toMatch(/^claim first:(0,2|1,3)$/)

    await produce(topic, 1_000, { partitions: 4, first: 1_000 })
    const [left, right] = await Promise.all([readAll(first, { count: 500 }), readAll(second, { count: 500 })])
    seen.push(...valuesOf(left), ...valuesOf(right))
    expect(numbersOf(seen)).toEqual(upTo(2_000))

    const stoppedMs = performance.now()
    await second.consumer.stop()
    expect(performance.now() - stoppedMs).toBeLessThan(5_000)
    expect(second.events.at(-1)).toBe('release second:')
    await until(() => first.consumer.status().reading.length === 4)
    expect(performance.now() - stoppedMs).toBeLessThan(5_000)
    await first.consumer.stop()
    expect(first.events.filter((event) => event.startsWith('claim')).length).toBe(
      first.events.filter((event) => event.startsWith('release')).length,
    )
  })

  it('lets go of what it had before the next one takes it, however long that takes', async () => {
    const topic = await freshTopic('slow-release', 2)
    const events: string[] = []
    const first = testConsumer([topic], {
      async release() {
        await new Promise((resolve) => setTimeout(resolve, 600))
        events.push('released')
      },
    })
    const second = testConsumer([topic], {
      async claim(assignment) {
        events.push('claimed by the next')
        return new Map(assignment.map(({ partition }) => [`${topic}:${partition}`, 0n]))
      },
    })
    await first.consumer.start()
    await until(() => first.consumer.status().reading.length === 2)
    await second.consumer.start()
    await until(() => second.consumer.status().reading.length === 1)
    expect(events.slice(0, 2)).toEqual(['released', 'claimed by the next'])
    await Promise.all([first.consumer.stop(), second.consumer.stop()])
  })

  it('a claim that fails leaves, joins again and claims again', async () => {
    const topic = await freshTopic('failing')
    await produce(topic, 10)
    let failures = 2
    const reader = testConsumer([topic], {
      async claim(assignment) {
        if (failures-- > 0) throw new Error('database away')
        return new Map(assignment.map(({ partition }) => [`${topic}:${partition}`, 3n]))
      },
    })
    reader.positions.set(`${topic}:0`, 3n)
    await reader.consumer.start()
    expect(valuesOf(await readAll(reader, { count: 7 })).map(Number)).toEqual([3, 4, 5, 6, 7, 8, 9])
    expect(failures).toBe(-1)
    await reader.consumer.stop()
  })

  it('goes on at once without a dead member that another one reports, also while that one still joins', async () => {
    const topic = await freshTopic('removed', 2)
    let deadId = ''
    const patient = { sessionTimeoutMs: 30_000, rebalanceTimeoutMs: 30_000 }
    const dead = testConsumer([topic], {
      ...patient,
      async claim(assignment, { memberId }) {
        deadId = memberId
        return new Map(assignment.map(({ partition }) => [`${topic}:${partition}`, 0n]))
      },
    })
    await dead.consumer.start()
    await until(() => dead.consumer.status().reading.length === 2)
    // Neither a heartbeat nor a join any more.
    ConsumerGroup.prototype.fetch = function (nodeId) {
      return this.memberId === deadId ? new Promise(() => undefined) : originalFetch.call(this, nodeId)
    }
    await new Promise((resolve) => setTimeout(resolve, 300))
    const heir = testConsumer([topic], patient)
    const joining = heir.consumer.start()
    const startedMs = performance.now()
    let wasThere = false
    while (!wasThere && performance.now() - startedMs < 15_000) {
      await new Promise((resolve) => setTimeout(resolve, 100))
      wasThere = (await heir.consumer.removeMember(deadId)) ?? false
    }
    expect(wasThere).toBe(true)
    await joining
    await until(() => heir.consumer.status().reading.length === 2)
    expect(performance.now() - startedMs).toBeLessThan(15_000)
    expect(await heir.consumer.removeMember(deadId)).toBe(false)
    await Promise.all([heir.consumer.stop(), dead.consumer.stop()])
  })

  it('what the group has committed decides nothing', async () => {
    const topic = await freshTopic('informational')
    await produce(topic, 10)
    const reader = testConsumer([topic])
    await reader.consumer.start()
    await readAll(reader, { count: 10 })
    await reader.consumer.commitInformational([{ topic, partition: 0, offset: 8n }])
    const groupId = `${topic}-group`
    expect(await admin.committedOffset({ groupId, topic, partition: 0 })).toBe(8n)
    await reader.consumer.stop()

    const again = testConsumer([topic], { positions: new Map([[`${topic}:0`, 2n]]) })
    await again.consumer.start()
    expect(valuesOf(await readAll(again, { count: 8 })).map(Number)).toEqual([2, 3, 4, 5, 6, 7, 8, 9])
    await again.consumer.stop()
  })

  it('a topic that is not there is said at the start', async () => {
    const reader = testConsumer(['no-such-topic'])
    await expect(reader.consumer.start()).rejects.toMatchObject({ code: 'topic_unknown' })
    await reader.consumer.stop()
  })
})
