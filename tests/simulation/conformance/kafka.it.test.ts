/** The simulated broker and its client do what the real ones do: the same calls on both, and what readers get of it compared. */
import { randomBytes } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { KafkaAdmin } from '#platform/kafka/admin.ts'
import { admin, kafka } from '#platform/kafka/kafka.fixtures.ts'
import { Broker } from '../kafka/broker.ts'
import { makeSimulatedKafka } from '../kafka/client.ts'
import { ConsumerGroup } from '../kafka/groups.ts'
import type { Scheduler, SimulatedProcess } from '../scheduler/scheduler.ts'
import { KAFKA_CASES, type KafkaBench, type KafkaCase } from './kafka-cases.ts'
import { CALM, inSimulation } from './simulated.ts'
import { Transcript } from './transcript.ts'

const run = randomBytes(4).toString('hex')
const nameOf = (label: string): string => `t_conformance_${label}_${run}`
/** Long enough for the next owner to come before a transaction's end is to be seen, ms. */
const MARKER_DELAY_MS = 300

const specification = (name: string, partitions: number) => ({ name, partitions, replication: 1, config: {} })

const realBench = (transcript: Transcript): KafkaBench => ({
  kafka,
  admin,
  transcript,
  topic: async (label, partitions = 1) => {
    await admin.ensureTopics([specification(nameOf(label), partitions)])
    return nameOf(label)
  },
  deleteBelow: (topic, offset) => admin.deleteRecords(topic, new Map([[0, offset]])),
  recreate: async (topic) => {
    await admin.deleteTopics([topic])
    await admin.ensureTopics([specification(topic, 1)])
  },
})

const simulatedBench = (
  scheduler: Scheduler,
  process: SimulatedProcess,
  transcript: Transcript,
): KafkaBench => {
  const broker = new Broker(scheduler, { markerDelayMs: () => MARKER_DELAY_MS })
  const groups = new Map<string, ConsumerGroup>()
  let members = 0
  const { kafka: client } = makeSimulatedKafka(
    {
      scheduler,
      broker,
      weather: CALM,
      group: (groupId) => {
        const group = groups.get(groupId) ?? new ConsumerGroup(scheduler, broker, 3_000)
        groups.set(groupId, group)
        return group
      },
      newMember: (name) => {
        members += 1
        return `${name}-${members}`
      },
      consumers: { jump: () => 0, repeats: () => false, recordsPerFetch: () => 100 },
    },
    process,
  )
  return {
    kafka: client,
    admin: new KafkaAdmin(client),
    transcript,
    topic: async (label, partitions = 1) => {
      broker.createTopic(nameOf(label), partitions)
      return nameOf(label)
    },
    deleteBelow: async (topic, offset) => broker.log(topic, 0)!.deleteBelow(offset),
    recreate: async (topic) => broker.recreate(topic, 0),
  }
}

describe('the simulated broker and the real one', () => {
  const real = new Map<string, string>()

  // All at once, since most of their time they wait; and over before the clock is replaced by the simulation's.
  beforeAll(async () => {
    const run = async ({ name, run }: KafkaCase) => {
      const transcript = new Transcript()
      try {
        await run(realBench(transcript))
      } catch (error) {
        transcript.note('case', 'threw', (error as Error).message)
      }
      real.set(name, transcript.text)
    }
    await Promise.all(KAFKA_CASES.map(run))
  })

  test.each(KAFKA_CASES)('$name', async ({ name, run }) => {
    expect(real.get(name)).not.toContain('threw: ')
    const transcript = new Transcript()
    await inSimulation((scheduler, process) => run(simulatedBench(scheduler, process, transcript)))
    expect(transcript.text).toBe(real.get(name))
  })
})
