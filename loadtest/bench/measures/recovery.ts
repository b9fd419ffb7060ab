/** How soon the ledger goes on: after SIGKILL of a processor that has another one beside it, and after a restart of the broker. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { BenchLedger, Lab } from '../lab.ts'
import type { Measurement } from '../measure.ts'
import { MeasureUnavailable } from '../measure-unavailable.ts'
import { OpenLoop, SentLog } from '../open-loop.ts'
import { median, significant } from '../statistics.ts'
import { look, openLedger, planFor, until } from './engine.ts'

const KILLS = 3
/** Of what the engine was measured to do. */
const LOAD_SHARE = 0.2
/** A processor that has only just started is slow for a moment. */
const SETTLE_MS = 2_000
/** How long nobody decides before catching up is measured. */
const OUTAGE_MS = 3_000
/** More than all of it lasts; the load ends with the work. */
const LOAD_SECONDS = 300

/** Seconds from SIGKILL until the next owner has applied a record of the dead one's partitions; median of some kills. */
export const measureKill = (lab: Lab): Promise<Measurement> =>
  underLoad(lab, async (ledger, load) => {
    const { engines } = ledger
    const firsts: number[] = []
    const lasts: number[] = []
    for (let kill = 0; kill < KILLS; kill += 1) {
      engines.start({ roles: 'processor' })
      await until(lab, ledger, async () => (await look(ledger)).owners === 2)
      await sleep(SETTLE_MS)
      const victim = engines.running.find(({ roles }) => roles === 'processor')!
      const isVictims = ({ owner }: Place) => owner.includes(`:${victim.pid}:`)
      const held = (await placesOf(ledger)).filter(isVictims).map(({ partition }) => partition)
      const killedMs = performance.now()
      engines.killNow(victim)
      /** Where each partition stood when it had been taken over. */
      const taken = new Map<number, bigint>()
      const goneOn = new Set<number>()
      const advance = async (wanted: number): Promise<boolean> => {
        for (const place of await placesOf(ledger)) {
          if (!held.includes(place.partition) || isVictims(place) || place.owner === '') continue
          const from = taken.get(place.partition)
          if (from === undefined) taken.set(place.partition, place.next)
          else if (place.next > from) goneOn.add(place.partition)
        }
        return goneOn.size >= wanted
      }
      await until(lab, ledger, () => advance(1))
      firsts.push((performance.now() - killedMs) / 1_000)
      await until(lab, ledger, () => advance(held.length))
      lasts.push((performance.now() - killedMs) / 1_000)
      lab.progress(
        `killed: on after ${firsts.at(-1)!.toFixed(2)} s, all partitions after ${lasts.at(-1)!.toFixed(2)} s`,
      )
    }
    return {
      value: median(firsts),
      details: {
        kills: KILLS,
        load_per_s: significant(load.ratePerSecond),
        all_partitions_s: significant(median(lasts)),
        catch_up_per_s: significant(await catchUp(lab, ledger)),
      },
    }
  })

/** Seconds from the moment at which a restarted broker answers until the next transfer is applied. */
export const measureBroker = (lab: Lab): Promise<Measurement> => {
  const { restartBroker } = lab.stack
  if (restartBroker === undefined) {
    throw new MeasureUnavailable('the broker is one that was given: it is not restarted')
  }
  return underLoad(lab, async (ledger, load) => {
    await sleep(SETTLE_MS)
    const stoppedMs = performance.now()
    await restartBroker()
    const backMs = performance.now()
    const { applied } = await look(ledger)
    await until(lab, ledger, async () => (await look(ledger)).applied > applied)
    const onMs = performance.now()
    return {
      value: (onMs - backMs) / 1_000,
      details: {
        since_stop_s: significant((onMs - stoppedMs) / 1_000),
        load_per_s: significant(load.ratePerSecond),
      },
    }
  })
}

/** Nobody decides for some seconds while transfers come; then one starts. @returns how many it applies a second until none waits */
async function catchUp(lab: Lab, ledger: BenchLedger): Promise<number> {
  const { engines, publisher } = ledger
  for (const engine of engines.running.filter(({ roles }) => roles === 'processor'))
    await engines.kill(engine)
  await sleep(OUTAGE_MS)
  const before = (await look(ledger)).applied
  engines.start({ roles: 'processor' })
  await until(lab, ledger, async () => (await look(ledger)).applied > before)
  const [begunMs, begun] = [performance.now(), (await look(ledger)).applied]
  // Behind by no more than what comes in a moment.
  const topic = publisher.topicName('transactions')
  await until(lab, ledger, async () => {
    const { applied } = await look(ledger)
    return applied >= (await endOf(ledger, topic)) - CAUGHT_UP_WITHIN
  })
  return ((await look(ledger)).applied - begun) / ((performance.now() - begunMs) / 1_000)
}

const CAUGHT_UP_WITHIN = 500

async function endOf(ledger: BenchLedger, topic: string): Promise<number> {
  const ranges = await ledger.admin.ranges(topic)
  return ranges.reduce((sum, { end }) => sum + Number(end), 0)
}

interface Place {
  readonly partition: number
  readonly next: bigint
  readonly owner: string
}

const placesOf = ({ pool }: BenchLedger): Promise<Place[]> =>
  pool.query<Place>({
    name: 'bench-places',
    text: `select partition, next_offset as next, owner from ingest_offsets where topic = 'transactions'`,
  })

/** A ledger with an engine, and transfers coming all the time at a share of what the engine can do. */
const underLoad = (
  lab: Lab,
  work: (ledger: BenchLedger, load: { ratePerSecond: number }) => Promise<Measurement>,
): Promise<Measurement> =>
  lab.withLedger({}, async (ledger) => {
    const ratePerSecond = lab.measured('throughput').value * LOAD_SHARE
    const plan = await planFor(lab, ledger, { transfers: Math.ceil(ratePerSecond * LOAD_SECONDS) })
    ledger.engines.start({ roles: 'processor' })
    ledger.engines.start({ roles: 'publisher,ticker' })
    await openLedger(lab, ledger, plan)
    const ended = new AbortController()
    const loop = new OpenLoop({
      publisher: ledger.publisher,
      records: plan.records()[Symbol.iterator](),
      log: new SentLog(),
      signal: ended.signal,
      isPatient: true,
    })
    const loading = loop.run(ratePerSecond, LOAD_SECONDS).catch((error: unknown) => {
      if (!ended.signal.aborted) throw error
    })
    loading.catch(() => undefined)
    try {
      const measurement = await Promise.race([work(ledger, { ratePerSecond }), failureOf(loading)])
      return measurement
    } finally {
      ended.abort()
      await loading.catch(() => undefined)
    }
  })

/** Never resolves: the load is to outlast the work. */
const failureOf = (loading: Promise<unknown>): Promise<never> =>
  new Promise((_resolve, reject) => {
    loading.catch(reject)
  })
