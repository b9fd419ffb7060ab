/**
 * kafkajs' consumer as the ingest adapter uses it, with the cured inside that hands fetches straight to a sink: joining a group,
 * heartbeats between fetches, positions that it keeps itself, and what goes wrong with them.
 */
import type { SimulatedProcess } from '../scheduler/scheduler.ts'
import { BrokerConnection, type KafkaPlace, ProtocolError } from './connection.ts'
import type { JoinAnswer } from './groups.ts'
import type { FetchAnswer, LogEntry } from './log.ts'

interface Sink {
  joining(group: unknown): Promise<void>
  deliver(batch: unknown): boolean
  positionOutOfRange(topic: string, partition: number): void
  topicIdOf(topic: string, partition: number): string | null | undefined
  topicIdRefused(topic: string, partition: number): void
}

interface ConsumerConfig {
  readonly groupId: string
  readonly partitionAssigners: readonly ((options: never) => unknown)[]
  readonly sessionTimeout: number
  readonly heartbeatInterval: number
  readonly maxWaitTimeInMs: number
}

type Listener = (event: { payload: Record<string, unknown> }) => void

interface Position {
  readonly topic: string
  readonly partition: number
  offset: bigint
}

type PartitionAnswer = {
  topic: string
  partition: number
  from: bigint
  /** null: there is nothing at the position. */
  answer: FetchAnswer | 'unknown id' | null
}

/** After so many failures in a row the client gives up and says so. */
const FAILURES_MAX = 5

export class SimulatedConsumer {
  readonly events = { GROUP_JOIN: 'group_join', CRASH: 'crash' }
  private readonly place: KafkaPlace
  private readonly process: SimulatedProcess
  private readonly config: ConsumerConfig
  private readonly connection: BrokerConnection
  private readonly listeners = new Map<string, Listener[]>()
  private readonly sink: Sink
  private topics: readonly string[] = []
  private memberId: string
  private generation = -1
  private positions = new Map<string, Position>()
  private readonly paused = new Set<string>()
  private isStopped = false

  constructor(place: KafkaPlace, process: SimulatedProcess, config: ConsumerConfig) {
    this.place = place
    this.process = process
    this.config = config
    this.connection = new BrokerConnection(place, process)
    this.memberId = place.newMember(process.name)
    // The adapter reaches the inside of its client through its assigner (platform/kafka/kafkajs-cures.ts).
    const assigners = config.partitionAssigners.map(
      (make) => make({ cluster: {} } as never) as { sink?: Sink },
    )
    this.sink = assigners.find(({ sink }) => sink !== undefined)!.sink!
  }

  on(event: string, listener: Listener): void {
    this.listeners.set(event, [...(this.listeners.get(event) ?? []), listener])
  }

  async connect(): Promise<void> {
    await this.connection.request('kafka connect', (answer) => answer(null))
  }

  async subscribe({ topics }: { topics: readonly string[] }): Promise<void> {
    this.topics = topics
  }

  async run(): Promise<void> {
    void this.loop()
  }

  async disconnect(): Promise<void> {
    this.isStopped = true
    const { memberId } = this
    const group = this.place.group(this.config.groupId)
    await this.connection
      .request('LeaveGroup', (answer) => {
        group.leave(memberId)
        answer(null)
      })
      .catch(() => undefined)
    this.connection.close()
  }

  async commitOffsets(
    offsets: readonly { topic: string; partition: number; offset: string }[],
  ): Promise<void> {
    const { memberId, generation } = this
    await this.connection.request('OffsetCommit', (answer) => {
      const refusal = this.place.group(this.config.groupId).refusal(memberId, generation)
      if (refusal !== null) {
        answer(new ProtocolError(refusal))
        return
      }
      this.place.broker.commitOffsets(
        offsets.map((each) => ({ ...each, groupId: this.config.groupId, offset: BigInt(each.offset) })),
      )
      answer(null)
    })
  }

  cut(): void {
    this.connection.cut()
  }

  private async loop(): Promise<void> {
    let failures = 0
    let isMember = false
    while (!this.isStopped) {
      try {
        if (!isMember) await this.join()
        isMember = true
        await this.fetch()
        failures = 0
        const word = await this.heartbeat()
        if (word === 'ok') continue
        isMember = false
        if (word === 'UNKNOWN_MEMBER_ID') this.memberId = `${this.memberId}'`
      } catch (error) {
        failures += 1
        if (this.isStopped) return
        if (failures >= FAILURES_MAX) {
          this.emit('crash', { error, restart: false })
          return
        }
        await this.sleep(100 * 2 ** failures)
      }
    }
  }

  private lastHeartbeatMs = 0

  private async heartbeat(): Promise<'ok' | 'REBALANCE_IN_PROGRESS' | 'UNKNOWN_MEMBER_ID'> {
    const now = this.place.scheduler.nowMs
    if (now - this.lastHeartbeatMs < this.config.heartbeatInterval) return 'ok'
    this.lastHeartbeatMs = now
    const { memberId, generation } = this
    const group = this.place.group(this.config.groupId)
    return this.connection.request('Heartbeat', (answer) =>
      answer(group.heartbeat(memberId, generation) as never),
    )
  }

  private async join(): Promise<void> {
    this.positions = new Map()
    this.paused.clear()
    const released = this.sink.joining(this.internals())
    // Bounded: in every other run what is in flight takes longer, so that there are two owners at a time.
    if (this.place.scheduler.seed % 2 === 1) await released
    if (this.isStopped) return
    const { memberId } = this
    const group = this.place.group(this.config.groupId)
    const joined = await this.connection.request<JoinAnswer>('JoinGroup', (answer) =>
      group.join(memberId, { topics: this.topics, sessionTimeoutMs: this.config.sessionTimeout }, answer),
    )
    if (this.isStopped) return
    this.generation = joined.generation
    this.lastHeartbeatMs = this.place.scheduler.nowMs
    for (const [topic, partitions] of Object.entries(joined.assignment)) {
      for (const partition of partitions) {
        const offset = this.place.broker.committedOffset(this.config.groupId, topic, partition) ?? 0n
        this.positions.set(`${topic}:${partition}`, { topic, partition, offset })
      }
    }
    this.emit('group_join', { memberAssignment: joined.assignment })
  }

  private async fetch(): Promise<void> {
    const wanted = [...this.positions.values()]
      .filter(({ topic, partition }) => !this.paused.has(`${topic}:${partition}`))
      .map((position) => ({ ...position, id: this.sink.topicIdOf(position.topic, position.partition) }))
    const { consumers, broker } = this.place
    const recordsMax = consumers.recordsPerFetch()
    const { generation } = this
    const read = (): PartitionAnswer[] =>
      wanted.map(({ topic, partition, offset, id }) => ({
        topic,
        partition,
        from: offset,
        answer:
          id == null || id === broker.topicId(topic)
            ? (broker.log(topic, partition)?.fetch(offset, recordsMax) ?? null)
            : 'unknown id',
      }))
    const answers = await this.connection.request<PartitionAnswer[]>('fetch', (answer) => {
      const found = read()
      const isNews = found.some(
        ({ answer, from }) => answer === null || answer === 'unknown id' || answer.nextOffset > from,
      )
      if (isNews) answer(found)
      else {
        // A long poll: what has come by then.
        this.place.scheduler.schedule(this.config.maxWaitTimeInMs, 'long poll over', null, () =>
          answer(read()),
        )
      }
    })
    if (this.isStopped || generation !== this.generation) return
    for (const each of answers) this.handOver(each)
  }

  private handOver({ topic, partition, from, answer }: PartitionAnswer): void {
    const key = `${topic}:${partition}`
    const position = this.positions.get(key)
    if (position === undefined || this.paused.has(key)) return
    if (answer === null) {
      this.paused.add(key)
      this.sink.positionOutOfRange(topic, partition)
      return
    }
    if (answer === 'unknown id') {
      this.paused.add(key)
      this.sink.topicIdRefused(topic, partition)
      return
    }
    const batch = fetchedBatch(topic, partition, from, answer)
    const { consumers, broker } = this.place
    if (this.sink.deliver(batch) && position.offset === from) position.offset = answer.nextOffset
    if (answer.nextOffset > from && consumers.repeats()) {
      this.place.scheduler.happened('fetch came twice')
      this.sink.deliver(batch)
    }
    const jump = BigInt(consumers.jump())
    const log = broker.log(topic, partition)
    if (jump > 0n && log !== undefined && position.offset + jump <= log.end) {
      this.place.scheduler.happened('position jumped')
      position.offset += jump
    }
  }

  /** The part of the client's group that the adapter steers. */
  private internals() {
    const group = this
    return {
      get generationId() {
        return group.generation
      },
      get memberId() {
        return group.memberId
      },
      pause: (list: { topic: string; partitions: number[] }[]) => {
        for (const { topic, partitions } of list) for (const p of partitions) this.paused.add(`${topic}:${p}`)
      },
      resume: (list: { topic: string; partitions: number[] }[]) => {
        for (const { topic, partitions } of list)
          for (const p of partitions) this.paused.delete(`${topic}:${p}`)
      },
      seek: ({ topic, partition, offset }: { topic: string; partition: number; offset: string }) => {
        const position = this.positions.get(`${topic}:${partition}`)
        if (position !== undefined) position.offset = BigInt(offset)
      },
    }
  }

  private emit(event: string, payload: Record<string, unknown>): void {
    for (const listener of this.listeners.get(event) ?? []) listener({ payload })
  }

  private sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.process.after(ms, 'consumer pause', resolve)
    })
  }
}

/** A fetch in the adapter's own shape (platform/kafka/fetched-batch.ts). */
const fetchedBatch = (topic: string, partition: number, from: bigint, answer: FetchAnswer) => {
  const records = answer.records.map((entry: LogEntry) => ({
    topic,
    partition,
    offset: entry.offset,
    timestampMs: entry.timestampMs,
    key: entry.key,
    value: entry.value,
    headers: entry.headers,
    sizeBytes: (entry.key?.length ?? 0) + (entry.value?.length ?? 0) + 40,
  }))
  return {
    topic,
    partition,
    fetchedOffset: String(from),
    highWatermark: String(answer.highWatermark),
    nextOffset: answer.nextOffset,
    records,
    bytes: records.reduce((sum, record) => sum + record.sizeBytes, 0),
    failure: undefined,
  }
}
