/**
 * A simulated broker: topics, transactions with producer epochs and their two-step end, groups' committed offsets.
 *
 * A transaction ends as in Kafka: the coordinator answers when the end is decided; markers and pending offsets become visible
 * later, partition by partition. Until then the next transaction of the same id is refused with CONCURRENT_TRANSACTIONS, and
 * the group's committed offset is the old one.
 */
import { type Scheduler, START_MS } from '../scheduler/scheduler.ts'
import { type BrokerTransaction, type LogEntry, PartitionLog, type RecordToWrite } from './log.ts'

export interface BrokerWeather {
  /** How long a transaction's markers take to be written after its end was decided, ms. */
  markerDelayMs(): number
}

export interface OffsetToCommit {
  readonly groupId: string
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
}

/** A transaction whose end is visible now, with all that it wrote. */
export interface EndedTransaction {
  readonly transactionalId: string
  readonly records: readonly { readonly topic: string; readonly entry: LogEntry }[]
  readonly offsets: readonly OffsetToCommit[]
}

interface Coordinated {
  epoch: number
  state: 'empty' | 'ongoing' | 'committing' | 'aborting'
  transaction: BrokerTransaction
  partitions: Set<PartitionLog>
  offsets: OffsetToCommit[]
  records: { topic: string; entry: LogEntry }[]
  cancelTimeout: (() => void) | null
}

export type TransactionAnswer =
  | 'ok'
  | 'CONCURRENT_TRANSACTIONS'
  | 'INVALID_PRODUCER_EPOCH'
  | 'INVALID_TXN_STATE'

const committedKey = (groupId: string, topic: string, partition: number): string =>
  `${groupId}/${topic}:${partition}`

export class Broker {
  isUp = true
  onAppend: (topic: string, partition: number, entry: LogEntry) => void = () => undefined
  onCommitted: (ended: EndedTransaction) => void = () => undefined
  /** The end is decided: it can't be lost any more, though nobody sees it yet. */
  onDecided: (offsets: readonly OffsetToCommit[]) => void = () => undefined
  readonly scheduler: Scheduler
  private readonly weather: BrokerWeather
  private readonly topics = new Map<string, PartitionLog[]>()
  private readonly topicIds = new Map<string, string>()
  private topicsMade = 0
  private readonly coordinated = new Map<string, Coordinated>()
  private readonly committed = new Map<string, bigint>()

  constructor(scheduler: Scheduler, weather: BrokerWeather) {
    this.scheduler = scheduler
    this.weather = weather
  }

  createTopic(topic: string, partitions: number): void {
    this.topics.set(
      topic,
      Array.from({ length: partitions }, (_, partition) => new PartitionLog(topic, partition)),
    )
    this.nameAnew(topic)
  }

  /** undefined where it isn't there. */
  topicId(topic: string): string | undefined {
    return this.topicIds.get(topic)
  }

  /** The topic is deleted and made anew; all but one of its partitions are filled with what they held at once. */
  recreate(topic: string, partition: number): void {
    this.log(topic, partition)!.empty()
    this.nameAnew(topic)
  }

  private nameAnew(topic: string): void {
    this.topicsMade += 1
    this.topicIds.set(topic, this.topicsMade.toString(16).padStart(32, '0'))
  }

  partitions(topic: string): readonly PartitionLog[] | undefined {
    return this.topics.get(topic)
  }

  log(topic: string, partition: number): PartitionLog | undefined {
    return this.topics.get(topic)?.[partition]
  }

  committedOffset(groupId: string, topic: string, partition: number): bigint | undefined {
    return this.committed.get(committedKey(groupId, topic, partition))
  }

  /** Outside of transactions. @returns offset of the first */
  produce(topic: string, partition: number, records: readonly RecordToWrite[]): bigint {
    const log = this.log(topic, partition)!
    const base = log.end
    for (const record of records) this.append(log, record, null)
    return base
  }

  /** InitProducerId: fences every earlier producer of the id, and ends what it left open. */
  initProducer(transactionalId: string): { epoch: number } | 'CONCURRENT_TRANSACTIONS' {
    const known = this.coordinated.get(transactionalId)
    if (known === undefined) {
      this.coordinated.set(transactionalId, {
        epoch: 0,
        state: 'empty',
        transaction: { state: 'open' },
        partitions: new Set(),
        offsets: [],
        records: [],
        cancelTimeout: null,
      })
      return { epoch: 0 }
    }
    if (known.state === 'ongoing') {
      known.epoch += 1
      this.scheduler.happened('transaction of an older producer ended')
      this.decideEnd(transactionalId, known, false)
      return 'CONCURRENT_TRANSACTIONS'
    }
    if (known.state !== 'empty') return 'CONCURRENT_TRANSACTIONS'
    known.epoch += 1
    return { epoch: known.epoch }
  }

  /** AddPartitionsToTxn or AddOffsetsToTxn: begins the transaction, where it isn't begun. */
  join(transactionalId: string, epoch: number, timeoutMs: number): TransactionAnswer {
    const known = this.coordinated.get(transactionalId)
    if (known === undefined || known.epoch !== epoch) return this.refused()
    if (known.state === 'committing' || known.state === 'aborting') return 'CONCURRENT_TRANSACTIONS'
    if (known.state === 'ongoing') return 'ok'
    known.state = 'ongoing'
    known.transaction = { state: 'open' }
    known.cancelTimeout = this.scheduler.schedule(timeoutMs, 'transaction timed out', null, () => {
      if (known.state !== 'ongoing') return
      known.epoch += 1
      this.decideEnd(transactionalId, known, false)
    })
    return 'ok'
  }

  produceInTransaction(
    transactionalId: string,
    epoch: number,
    topic: string,
    partition: number,
    records: readonly RecordToWrite[],
  ): TransactionAnswer {
    const known = this.coordinated.get(transactionalId)
    if (known === undefined || known.epoch !== epoch) return this.refused()
    if (known.state !== 'ongoing') return 'INVALID_TXN_STATE'
    const log = this.log(topic, partition)!
    known.partitions.add(log)
    for (const record of records) {
      known.records.push({ topic, entry: this.append(log, record, known.transaction) })
    }
    return 'ok'
  }

  commitOffsetsInTransaction(
    transactionalId: string,
    epoch: number,
    offsets: readonly OffsetToCommit[],
  ): TransactionAnswer {
    const known = this.coordinated.get(transactionalId)
    if (known === undefined || known.epoch !== epoch) return this.refused()
    if (known.state !== 'ongoing') return 'INVALID_TXN_STATE'
    known.offsets.push(...offsets)
    return 'ok'
  }

  /** EndTxn: decided when this answers `ok`; visible later. */
  endTransaction(transactionalId: string, epoch: number, commits: boolean): TransactionAnswer {
    const known = this.coordinated.get(transactionalId)
    if (known === undefined || known.epoch !== epoch) return this.refused()
    if (known.state === 'empty') return commits ? 'INVALID_TXN_STATE' : 'ok'
    if (known.state !== 'ongoing') return 'CONCURRENT_TRANSACTIONS'
    this.decideEnd(transactionalId, known, commits)
    return 'ok'
  }

  /** Offsets outside of transactions, for tools. */
  commitOffsets(offsets: readonly OffsetToCommit[]): void {
    for (const { groupId, topic, partition, offset } of offsets) {
      this.committed.set(committedKey(groupId, topic, partition), offset)
    }
  }

  private refused(): TransactionAnswer {
    this.scheduler.happened('older producer refused')
    return 'INVALID_PRODUCER_EPOCH'
  }

  private append(log: PartitionLog, record: RecordToWrite, transaction: BrokerTransaction | null): LogEntry {
    const entry = log.append(record, transaction, START_MS + this.scheduler.nowMs)
    this.onAppend(log.topic, log.partition, entry)
    return entry
  }

  private decideEnd(transactionalId: string, known: Coordinated, commits: boolean): void {
    known.cancelTimeout?.()
    known.cancelTimeout = null
    known.state = commits ? 'committing' : 'aborting'
    if (commits) this.onDecided(known.offsets)
    else this.scheduler.happened('transaction rolled back')
    const { transaction, partitions, offsets, records } = known
    const left = [...partitions]
    const finish = (): void => {
      known.state = 'empty'
      known.partitions = new Set()
      known.offsets = []
      known.records = []
      if (!commits) return
      this.commitOffsets(offsets)
      this.onCommitted({ transactionalId, records, offsets })
    }
    const markNext = (): void => {
      const log = left.pop()
      // The end was decided: from the first marker on its records count, each partition's from its own marker on.
      transaction.state = commits ? 'committed' : 'aborted'
      log?.mark(transaction, START_MS + this.scheduler.nowMs)
      if (left.length === 0) finish()
      else this.scheduler.schedule(this.weather.markerDelayMs(), 'marker', null, markNext)
    }
    this.scheduler.schedule(this.weather.markerDelayMs(), 'marker', null, markNext)
  }
}
