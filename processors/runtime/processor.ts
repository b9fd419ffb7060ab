/** A processor: takes partitions, reads them, applies batch by batch. Whatever goes wrong, the partitions are taken anew and Postgres says where to go on. */
import { IncidentError, OperatingError } from '#platform/errors.ts'
import type { IngestChunk } from '#platform/kafka/partition-inbox.ts'
import { atMost, pause } from '#platform/time/clock.ts'
import { BatchApplier, type SentBatch } from '../apply/batch.ts'
import type { PartitionInputs } from './batch-header.ts'
import { partByHistory, partitionsToClaim } from './claiming.ts'
import { type Flight, Flights } from './flights.ts'
import { Intake } from './intake.ts'
import { HeldPartitions } from './held-partitions.ts'
import { type Standing, standingOf } from './lag-watch.ts'
import type { Assigned, ProcessorOptions } from './processor-options.ts'
import { Readers } from './readers.ts'
import { Backlog } from './selection.ts'
import { Sessions } from './sessions.ts'
import { incidentAt, type PartitionIncident, StoppedPartitions } from './stopped-partitions.ts'

/** One is being committed, one is decided ahead. */
const FLIGHTS_MAX = 2
const TRIES_IN_PLACE_MAX = 3
const TAKE_WAIT_MS = 200
/** Batches' worth of records that may wait for others (`after`) before no more is read of their partitions. */
const BACKLOG_BATCHES_MAX = 8
/** For the batches under way when it is to stop, for closing the session, and for what waits for that. */
const STOP_MS = { drain: 2_200, close: 400, end: 800 }
const RETRY_PAUSE_MS = { first: 20, most: 2_000 }

export class Processor {
  private readonly options: ProcessorOptions
  private readonly backlog: Backlog
  private readonly readers: Readers
  private readonly sessions: Sessions
  private applier: BatchApplier | null = null
  private readonly held = new HeldPartitions()
  private readonly stopped: StoppedPartitions
  /** The ledger's positions as of the last batch that was sent. */
  private positions = new Map<string, bigint>()
  /** The same as of the last one that is known to be applied. */
  private appliedPositions = new Map<string, bigint>()
  /** Taken from the reader, not yet decoded. */
  private readonly intake: Intake
  private member: string | undefined
  private generation = 0
  private stopping = false
  private sending: Promise<unknown> = Promise.resolve()
  private readonly flights = new Flights()
  /** Failures since a batch was applied that were answered by sending the same inputs again. */
  private triesInPlace = 0
  private failures = 0
  private done: Promise<void> = Promise.resolve()

  constructor(options: ProcessorOptions) {
    this.options = options
    const { clock, context, openSession } = options
    this.sessions = new Sessions(openSession, (session) => {
      this.applier = new BatchApplier({ ...context, clock, session })
    })
    this.readers = new Readers(options.makeReader, {
      claim: (assignment, generation) => this.claim(assignment, generation?.memberId),
      release: () => this.release(),
      onIncident: (incident) => this.raise({ ...incident, topic: this.unprefixed(incident.topic) }),
    })
    this.stopped = new StoppedPartitions(clock)
    this.intake = new Intake(options)
    this.backlog = new Backlog(options.onAfterTimedOut)
  }

  /** Whether it has partitions, none is stopped by an incident, and the last attempt to apply did not fail. */
  get ready(): boolean {
    const isHindered = !this.stopped.isEmpty || this.intake.isFailing || this.failures > 0
    return this.held.all().length > 0 && !isHindered && !this.stopping
  }

  /** Runs until `stop`. @throws IncidentError where it must not go on. */
  run(): Promise<void> {
    const running = this.loop()
    this.done = running.catch(() => undefined)
    return running
  }

  private async loop(): Promise<void> {
    try {
      await this.sessions.ensure()
      await this.readers.start()
    } catch (error) {
      // A wrong set-up shows at once, an incident is told; what is only away is waited for.
      const isWrong =
        !(error instanceof OperatingError) || !(error.retriable || error instanceof IncidentError)
      if (isWrong) throw error
      await this.recover(error)
    }
    while (!this.stopping) {
      try {
        await this.step()
        this.failures = 0
      } catch (error) {
        await this.recover(error)
      }
    }
    await this.landAll()
  }

  /** Finishes the batches in flight, lets go of the partitions and leaves; within 3.5 s. */
  async stop(): Promise<void> {
    const { clock } = this.options
    this.stopping = true
    // The reader's release waits for the batch in flight.
    const ending = Promise.all([this.readers.stop(), this.done])
    const isDrained = await atMost(clock, STOP_MS.drain, ending)
    // A ledger that stalls isn't waited for: without the session its batch has failed, and the next owner decides it.
    await atMost(clock, STOP_MS.close, this.sessions.closeAll())
    if (!isDrained) await atMost(clock, STOP_MS.end, ending)
  }

  /** Where the partitions stand that are read here, or that an incident has stopped. */
  standing(): Standing[] {
    return standingOf([...this.held.all(), ...this.stopped.all()], this.appliedPositions)
  }

  /** How many partitions wait: for a record that one of theirs names in `after`, for a schema. */
  waiting(): { readonly after: number; readonly schema: number } {
    return { after: this.waitingPartitions().length, schema: this.intake.waitingForSchema }
  }

  /** Shows the ledger's positions to tools that look at the consumer group. */
  async showPositions(): Promise<void> {
    const offsets = this.held.all().map(({ topic, partition }) => ({
      topic: `${this.options.topicPrefix}${topic}`,
      partition,
      offset: this.appliedPositions.get(`${topic}:${partition}`)!,
    }))
    await this.readers.reader?.commitInformational?.(offsets)
  }

  /** Has the group go on without a dead member: as IngestReader's. @throws OperatingError */
  removeMember = async (id: string): Promise<boolean | undefined> =>
    await this.readers.reader?.removeMember?.(id)

  private async step(): Promise<void> {
    await this.sessions.ensure()
    if (this.readers.reader === null) await this.readers.start()
    if (this.flights.count > 0) return await this.whileInFlight()
    await this.lookAgain()
    if (this.backlog.inputs === 0) await this.fill(TAKE_WAIT_MS)
    const selection = this.select()
    if (selection.length === 0) {
      // All that was read waits for other records: they may be the next that come.
      return await this.fill(TAKE_WAIT_MS)
    }
    const { generation } = this
    const sending = this.applier!.send(selection)
    this.sending = sending
    this.takeOff(selection, await sending, generation)
  }

  /** While Postgres writes, the next records are decoded, and decided where that needs nothing but memory. */
  private async whileInFlight(): Promise<void> {
    try {
      if (!this.isFull(2)) await this.fill(0)
      const isBehind = this.backlog.inputs >= this.options.batchSize.current && !this.stopped.isDue
      if (this.flights.count < FLIGHTS_MAX && isBehind) this.sendAhead()
    } finally {
      await this.land()
    }
  }

  private sendAhead(): void {
    const selection = this.select()
    if (selection.length === 0) return
    const sent = this.applier!.sendAhead(selection)
    if (sent !== null) this.takeOff(selection, sent, this.generation)
  }

  /** Those that wait for a record of another one, as the reader names them. */
  private waitingPartitions(): string[] {
    const { clock, topicPrefix } = this.options
    return this.backlog.waiting(clock.monotonicMs()).map((c) => `${topicPrefix}${c.topic}:${c.partition}`)
  }

  private select(): PartitionInputs[] {
    const { batchSize, clock } = this.options
    return this.backlog.select(batchSize.current, this.positions, clock.monotonicMs())
  }

  /** A batch is on its way: what it decided leaves the backlog, unless that was dropped meanwhile. */
  private takeOff(selection: readonly PartitionInputs[], sent: SentBatch, generation: number): void {
    const taken = generation === this.generation ? this.backlog.take(selection, sent.consumed) : []
    this.flights.add({ sent, taken, generation })
    this.positions = new Map(sent.positions)
  }

  /** Waits for the oldest batch under way. @throws what made it fail, unless its inputs are simply tried again */
  private async land(): Promise<void> {
    const landing = await this.flights.land()
    if (landing === null) return
    if ('error' in landing) {
      this.undo(landing.lost, landing.error)
      return
    }
    const { flight, result } = landing
    this.appliedPositions = new Map(flight.sent.positions)
    this.triesInPlace = 0
    // Its own time: what was decoded, or waited for at the registry, since it left says nothing about its size.
    const wallMs = Object.values(result.phases).reduce((sum, ms) => sum + ms, 0)
    this.options.batchSize.observe(result.consumed, wallMs)
    this.options.onBatch(result)
  }

  private undo(lost: readonly Flight[], error: unknown): void {
    this.positions = new Map(this.appliedPositions)
    this.triesInPlace += 1
    if (!this.applier!.failed(error) || this.triesInPlace > TRIES_IN_PLACE_MAX) throw error
    const stillHeld = lost.filter(({ generation }) => generation === this.generation)
    this.backlog.putBack(stillHeld.flatMap(({ taken }) => taken))
  }

  /** Waits for all that is under way, however it ends. */
  private async landAll(): Promise<void> {
    while (this.flights.count > 0) await this.land().catch(() => undefined)
  }

  /** Whether the backlog holds so many batches' worth, by number or by size. */
  private isFull(batches: number): boolean {
    const { batchSize, batchBytesMax } = this.options
    return this.backlog.inputs >= batchSize.current * batches || this.backlog.bytes >= batchBytesMax * batches
  }

  /** Reads and decodes up to what one batch may take. */
  private async fill(waitMs: number): Promise<void> {
    const { batchSize, batchBytesMax: bytesMax } = this.options
    // Memory has a bound; what those that wait are waiting for must be read all the same.
    const except = this.isFull(BACKLOG_BATCHES_MAX) ? this.waitingPartitions() : []
    await this.intake.read(this.readers.reader!, {
      recordsMax: batchSize.current,
      bytesMax,
      waitMs,
      except: new Set(except),
    })
    for (let next = await this.intake.next(); next !== null; next = await this.intake.next()) {
      const { chunk, inputs } = next
      const name = this.nameOf(chunk)
      const accepted = this.held.accept(name, chunk, inputs)
      if (accepted instanceof IncidentError) {
        this.stopReading(chunk, accepted)
      } else if (accepted !== null) {
        this.stopped.recovered(name)
        this.backlog.add(accepted)
      }
    }
  }

  /** The log isn't the one that was applied. */
  private stopReading({ topic, partition }: IngestChunk, incident: IncidentError): void {
    this.letGo(this.nameOf({ topic, partition }))
    this.readers.reader?.suspend?.(topic, partition)
    this.raise(incidentAt({ topic: this.unprefixed(topic), partition }, incident))
  }

  private raise(incident: PartitionIncident): void {
    const { topic, partition, code, detail } = incident
    // Why there was no position to read from is known better here.
    if (code === 'position_unknown' && this.stopped.has(incident)) return
    // Only the last applied record tells whether it is another topic, and looking again holds it against the log.
    if (code === 'topic_id_unknown' && !this.stopped.has(incident)) {
      this.stopped.postpone(incident)
      return
    }
    const isNews = this.stopped.raise(incident)
    this.options.onStopped?.(incident)
    if (isNews) this.options.onIncident(new IncidentError(code, `${topic}:${partition}: ${detail}`))
  }

  /** What was read of a partition is worth nothing once it is taken anew. */
  private letGo(name: string): void {
    const claim = this.held.letGo(name)
    if (claim !== undefined) this.backlog.drop(claim)
    this.intake.drop(this.options.topicPrefix + name)
  }

  /** Takes stopped partitions anew, each at its own slow pace, and reads on where Postgres says: as before, if nobody moved it. */
  private async lookAgain(): Promise<void> {
    const { reader } = this.readers
    if (reader?.readAgain === undefined) return
    for (const incident of this.stopped.due()) {
      const { generation } = this
      const name = `${incident.topic}:${incident.partition}`
      const topic = `${this.options.topicPrefix}${incident.topic}`
      try {
        this.letGo(name)
        await reader.readAgain(topic, incident.partition, async (assigned) => {
          const [position] = (await this.take([assigned], { mayTakeLong: true })).values()
          if (generation !== this.generation) return undefined
          if (position !== undefined) this.stopped.onTrial(incident)
          return position
        })
        if (generation !== this.generation) return
      } catch (error) {
        if (!(error instanceof OperatingError) || this.sessions.session?.isBroken === true) throw error
        const { code, message: detail } = error
        // Deleted, and not made anew so far.
        if (code === 'topic_unknown') this.raise({ ...incident, code, detail })
        else this.stopped.raise(incident)
        this.options.logger.warn({ code }, `${name} can't be looked at: ${detail}`)
      }
    }
  }

  private nameOf(chunk: { readonly topic: string; readonly partition: number }): string {
    return `${this.unprefixed(chunk.topic)}:${chunk.partition}`
  }

  private unprefixed(topic: string): string {
    return topic.slice(this.options.topicPrefix.length)
  }

  /** Takes the assigned partitions in Postgres; reading starts at what Postgres says. */
  private async claim(assignment: Assigned[], member?: string): Promise<Map<string, bigint>> {
    this.drop()
    // No positions would read as an incident of each partition; a refusal is tried again by nobody, since the reader is stopped next.
    if (this.stopping) throw new OperatingError('processor_stopping', 'the processor is being stopped')
    this.member = member
    const positions = await this.take(assignment, { mayTakeLong: false })
    this.options.logger.info({ partitions: positions.size }, 'took partitions')
    return positions
  }

  /** Takes partitions in Postgres. @returns where to read each, by its full name; without those that can't be read now */
  private async take(assignment: Assigned[], time: { mayTakeLong: boolean }): Promise<Map<string, bigint>> {
    const session = await this.sessions.ensure()
    const { admin, history, topicPrefix } = this.options
    const all = await partitionsToClaim(assignment, admin, topicPrefix)
    const { ready, postponed, stopped } = await partByHistory(all, history, time)
    for (const incident of postponed) this.stopped.postpone(incident)
    for (const incident of stopped) this.raise(incident)
    const logs = new Map(ready.map((p) => [`${p.topic}:${p.partition}`, p]))
    const claimed = ready.length === 0 ? [] : await session.claim(ready, this.member)
    this.options.onTaken?.(claimed.length)
    const positions = new Map<string, bigint>()
    for (const claim of claimed) {
      const name = `${claim.topic}:${claim.partition}`
      this.positions.set(name, claim.nextOffset)
      this.appliedPositions.set(name, claim.nextOffset)
      const from = this.held.hold(claim, logs.get(name)!)
      if (from instanceof IncidentError) this.raise(incidentAt(claim, from))
      else positions.set(topicPrefix + name, from)
    }
    return positions
  }

  /** The partitions go to somebody else: the batches in flight are finished, what was only read is dropped. */
  private async release(): Promise<void> {
    const claims = this.held.all()
    this.drop()
    await this.sending.catch(() => undefined)
    await this.flights.settled()
    const { session } = this.sessions
    if (claims.length > 0 && session?.isBroken === false) await session.release(claims)
  }

  private drop(): void {
    this.generation += 1
    this.held.clear()
    this.stopped.clear()
    this.intake.clear()
    this.backlog.clear()
  }

  /** After any failure: a new session and a new reader, so that positions come from Postgres again. */
  private async recover(error: unknown): Promise<void> {
    if (this.stopping) return
    if (error instanceof IncidentError) {
      this.options.onIncident(error)
      throw error
    }
    if (!(error instanceof OperatingError)) throw error
    this.failures += 1
    this.options.onFailure?.(error.code)
    const pauseMs = Math.min(RETRY_PAUSE_MS.first * 2 ** Math.min(this.failures, 10), RETRY_PAUSE_MS.most)
    if (error.code === 'publish_backlog' || error.code === 'registry_unreachable') {
      if (this.failures % 50 === 1) this.options.logger.warn({ code: error.code }, error.message)
      await this.pause(pauseMs)
      return
    }
    this.options.logger.warn({ code: error.code, failures: this.failures }, error.message)
    await this.landAll()
    this.positions = new Map(this.appliedPositions)
    this.triesInPlace = 0
    this.options.batchSize.shrink()
    this.drop()
    await this.sessions.close()
    await this.readers.replace()
    await this.pause(pauseMs)
  }

  private async pause(ms: number): Promise<void> {
    const { clock } = this.options
    const until = clock.monotonicMs() + ms
    while (!this.stopping && clock.monotonicMs() < until) await pause(clock, Math.min(50, ms))
  }
}
