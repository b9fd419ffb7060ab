/** The world breaks with the history: an incident, a stop, no reset. Each on a ledger of its own. */
import { renameSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { runOrFail } from '#infra/local/programs.ts'
import type { RunningStack } from '#infra/local/stack.ts'
import { TOPICS, topicConfiguration } from '#schemas/topics.ts'
import { checkStored } from '../check-run.ts'
import { readHead, readPositions } from '../checks/stored-ledger.ts'
import type { Scenario } from '../fault-plan.ts'
import { isReadTo, waitFor } from '../ledger.ts'
import { type SideContext, SideLedger } from './side-ledger.ts'

/** How long nothing may happen after an incident before it counts as "nothing happens". */
const STILL_MS = 2_500
const OTHERS_WAIT_MS = 60_000
const STOP_WAIT_MS = 20_000

/** Plays one to its end. @throws where it couldn't be played */
export const playScenario = async (scenario: Scenario, context: SideContext): Promise<void> => {
  context.onProgress(`side ledger: ${scenario} begins`)
  const ledger = await SideLedger.start(scenario, context)
  try {
    await PLAYS[scenario](ledger, context)
  } finally {
    await ledger.close()
  }
  context.onProgress(`side ledger: ${scenario} is over`)
}

type Play = (ledger: SideLedger, context: SideContext) => Promise<void>

/**
 * Postgres comes back as it was some time ago, while Kafka and its readers are ahead. Neither a processor alone nor a publisher may
 * go on. Then the newer data is put back, and all goes on as if nothing had been.
 */
const databaseRestored: Play = async (ledger, { findings, side }) => {
  const genesisHash = await genesisOf(ledger)
  await ledger.send(120)
  await ledger.drained()
  const data = await dataFolder(ledger)
  await stopPostgres(side)
  await copy(data, `${data}.early`)
  await side.service('postgres').restart()
  await ledger.send(120)
  await ledger.drained()
  await ledger.stopEngines()
  await stopPostgres(side)
  renameSync(data, `${data}.late`)
  renameSync(`${data}.early`, data)
  await side.service('postgres').restart()

  const before = await readHead(ledger.pool)
  await ledger.send(60)
  const processor = ledger.startEngine('processor')
  await ledger.expectIncident(processor, ['database_behind_published'])
  const whole = ledger.startEngine()
  await ledger.expectIncident(whole, ['database_behind_published'])
  await sleep(STILL_MS)
  const after = await readHead(ledger.pool)
  findings.same('nothing is decided after an incident', 'head', before.sequence, after.sequence)
  await ledger.stopEngines()

  await stopPostgres(side)
  rmSync(data, { recursive: true })
  renameSync(`${data}.late`, data)
  await side.service('postgres').restart()
  ledger.startEngine()
  await ledger.drained()
  await ledger.stopEngines()
  findings.check('what was put back goes on', true, () => '')
  await checkStored(findings, {
    configuration: ledger.configuration,
    pool: ledger.pool,
    load: ledger.load,
    ends: ledger.ends,
    genesisHash,
    isWatched: false,
  })
}

/**
 * The topic is deleted and made again under the same name, and filled beyond where it was read to: at once, or while its reader stands
 * still, so that it sees nothing of it but the outcome.
 */
const topicMadeAnew: Play = async (ledger, { findings, random }) => {
  await ledger.send(100)
  await ledger.drained()
  const { name } = TOPICS.transactions
  const topic = `${ledger.configuration.ledger.topicPrefix}${name}`
  const before = await transactionsState(ledger)
  const [running] = ledger.engines.running
  const isFrozen = random.below(2) === 0
  if (isFrozen) ledger.engines.pause(running!)
  await ledger.admin.deleteTopics([topic])
  await makeTopic(ledger, topic)
  await ledger.send(300)
  if (isFrozen) ledger.engines.wake(running!)
  await ledger.expectIncident(running!, ['topic_recreated', 'position_out_of_range'])
  await sleep(STILL_MS)
  findings.same('no position is reset', `${topic}, still running`, before, await transactionsState(ledger))
  await ledger.stopEngines()
  const again = ledger.startEngine()
  await ledger.expectIncident(again, ['topic_recreated'])
  await sleep(STILL_MS)
  findings.same('no position is reset', `${topic}, after a restart`, before, await transactionsState(ledger))
}

/** Retention deletes records of one partition that were not read yet. The other partitions go on. */
const positionPassed: Play = async (ledger, { findings }) => {
  await ledger.send(80)
  await ledger.drained()
  await ledger.stopEngines()
  await ledger.send(160)
  const positions = await readPositions(ledger.pool)
  const [place, end] = [...ledger.ends].filter(([name]) => name.startsWith('transactions:')).at(-1)!
  const stored = positions.get(place)!
  const partition = Number(place.split(':')[1])
  const topic = `${ledger.configuration.ledger.topicPrefix}${TOPICS.transactions.name}`
  await ledger.admin.deleteRecords(topic, new Map([[partition, end]]))
  const engine = ledger.startEngine()
  await ledger.expectIncident(engine, ['position_out_of_range'])
  const others = new Map([...ledger.ends].filter(([name]) => name !== place))
  const areRead = await waitFor(() => isReadTo(ledger.pool, others), OTHERS_WAIT_MS)
  findings.check('the other partitions go on', areRead, () => `beside ${place}`)
  await sleep(STILL_MS)
  const after = (await readPositions(ledger.pool)).get(place)
  findings.same('no position is reset', place, stored, after)
}

const PLAYS: Readonly<Record<Scenario, Play>> = {
  'database restored': databaseRestored,
  'topic made anew': topicMadeAnew,
  'position passed by retention': positionPassed,
}

/** The hash that the history starts from. */
const genesisOf = async (ledger: SideLedger): Promise<Buffer> => {
  const [row] = await ledger.pool.query<{ hash: Buffer }>({
    text: 'select previous_hash as hash from batches where sequence = 1',
  })
  return row!.hash
}

/**
 * Decisions about records of the topic and where its partitions are read to, as one text. Reviews go on: they stand on another
 * topic.
 */
const transactionsState = async (ledger: SideLedger): Promise<string> => {
  const [row] = await ledger.pool.query<{ state: string }>({
    text: `select (select count(*) from transactions where topic = 'transactions') || ' decisions, ' ||
      (select count(*) from dead_letters where topic = 'transactions') || ' letters, at ' ||
      (select string_agg(partition || ':' || next_offset, ' ' order by partition) from ingest_offsets where topic = 'transactions')
      as state`,
  })
  return row!.state
}

const makeTopic = async (ledger: SideLedger, topic: string): Promise<void> => {
  const { partitions } = TOPICS.transactions
  const wanted = { name: topic, partitions, replication: 1, config: topicConfiguration(TOPICS.transactions) }
  // A deletion takes a moment: until then the topic is there, or just going.
  await waitFor(async () => {
    const differences = await ledger.admin.ensureTopics([wanted]).catch(() => undefined)
    const ranges = await ledger.admin.ranges(topic).catch(() => [])
    return differences?.length === 0 && ranges.length === partitions && ranges.every(({ end }) => end === 0n)
  }, OTHERS_WAIT_MS)
}

const dataFolder = async (ledger: SideLedger): Promise<string> => {
  const [row] = await ledger.pool.query<{ folder: string }>({
    text: `select current_setting('data_directory') as folder`,
  })
  return row!.folder
}

/** Ends Postgres in order, so that its folder can be copied. */
const stopPostgres = async (side: RunningStack): Promise<void> => {
  const postgres = side.service('postgres')
  postgres.kill('SIGINT')
  await waitFor(() => !postgres.isAlive(), STOP_WAIT_MS)
}

const copy = async (from: string, to: string): Promise<void> => {
  await runOrFail('cp', ['-a', from, to], { timeoutMs: 60_000 })
}
