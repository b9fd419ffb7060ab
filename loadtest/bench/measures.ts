/** Every measure by name, with its unit and how it is taken. */
import type { Measure } from './measure.ts'
import { engineWith } from './measures/engine.ts'
import { measureLimit } from './measures/limit.ts'
import { measureNaive } from './measures/naive.ts'
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
  zipf: rate(engineWith({ mix: 'zipf' })),
}
