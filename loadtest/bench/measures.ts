/** Every measure by name, with its unit and how it is taken. */
import type { Measure } from './measure.ts'
import { engineWith } from './measures/engine.ts'
import { measureGrowth } from './measures/growth.ts'
import { measureLatency } from './measures/latency.ts'
import { measureLimit } from './measures/limit.ts'
import { measureMatching } from './measures/matching.ts'
import { measureMemory } from './measures/memory.ts'
import { measureNaive } from './measures/naive.ts'
import { measureQuery } from './measures/query.ts'
import { measureBroker, measureKill } from './measures/recovery.ts'
import { measureReplay } from './measures/replay.ts'
import { measureSoak } from './measures/soak.ts'
import { measureTpcb } from './measures/tpcb.ts'
import type { MeasureName } from './scenarios.ts'

const rate = (run: Measure['run']): Measure => ({ unit: 'transfers/s', better: 'higher', run })

export const MEASURES: Readonly<Record<MeasureName, Measure>> = {
  tpcb: { unit: 'transactions/s', better: 'higher', run: measureTpcb },
  throughput: rate(engineWith({})),
  without_entries: rate(engineWith({ environment: { PUBLISH_LEDGER_ENTRIES: 'false' } })),
  limit: rate(measureLimit),
  naive: rate(measureNaive(8)),
  naive_one: rate(measureNaive(1)),
  hot: rate(engineWith({ mix: 'hot' })),
  matching: { unit: 'items/s', better: 'higher', once: true, run: measureMatching },
  zipf: rate(engineWith({ mix: 'zipf' })),
  fraud_off: rate(engineWith({ fraud: false })),
  two_processors: rate(engineWith({ processors: 2 })),
  four_processors: { ...rate(engineWith({ processors: 4 })), once: true },
  partitions_64: { ...rate(engineWith({ partitions: 64 })), once: true },
  four_ledgers: rate(engineWith({ ledgers: 4 })),
  latency: { unit: 'ms', better: 'lower', once: true, run: measureLatency },
  query: { unit: 'requests/s', better: 'higher', once: true, run: measureQuery },
  recovery_kill: { unit: 's', better: 'lower', once: true, run: measureKill },
  recovery_broker: { unit: 's', better: 'lower', once: true, run: measureBroker },
  replay: { ...rate(measureReplay), once: true },
  memory: { unit: 'MiB', better: 'lower', run: measureMemory },
  growth: { ...rate(measureGrowth), once: true },
  soak: { unit: 'ms', better: 'lower', once: true, run: measureSoak },
}
