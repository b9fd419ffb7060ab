/**
 * How fast the matcher is: `node loadtest/reconciliation/measure.ts EVENTS [--portion N] [--ledger-first] [--seed N]`.
 * An event is about one item a side. `--ledger-first`: the whole ledger before the first line of a bank, the hardest order;
 * otherwise both sides come by day, as they do in life.
 */
import { parseArgs } from 'node:util'
import type { MatchItem } from '#domain/matching/item.ts'
import { Matcher } from '#domain/matching/matcher.ts'
import { defaultPasses } from '#domain/matching/passes.ts'
import { FEES_MINOR, generateTwoSides, ROUNDING_MAX_MINOR } from './generator.ts'
import { scoreOf } from './score.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    portion: { type: 'string', default: '5000' },
    'ledger-first': { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
  },
})
const events = Number(positionals[0])
const portion = Number(values.portion)
if (!Number.isSafeInteger(events) || events < 1 || !Number.isSafeInteger(portion) || portion < 1) {
  throw new Error('expected the number of events, and --portion as a whole number')
}

const sides = generateTwoSides({ seed: Number(values.seed), events, days: 90 })
const items: MatchItem[] = [...sides.ledger, ...sides.bank]
if (!values['ledger-first']) items.sort((left, right) => left.valueDay! - right.valueDay!)

const matcher = new Matcher(
  defaultPasses({ absoluteMinor: ROUNDING_MAX_MINOR, perMillion: 0, feesMinor: FEES_MINOR }),
)
const startedAt = performance.now()
const startedCpu = process.cpuUsage()
let superseded = 0
for (let from = 0; from < items.length; from += portion) {
  for (const item of items.slice(from, from + portion)) matcher.add(item)
  superseded += matcher.settle().unmatched.length
}
const seconds = (performance.now() - startedAt) / 1_000
const { user, system } = process.cpuUsage(startedCpu)
const score = scoreOf(matcher.matches(), sides.matches)
const report = {
  ledger: sides.ledger.length,
  bank: sides.bank.length,
  seconds: Math.round(seconds * 100) / 100,
  // Of all threads, the collector's too: what counts where other work shares the cores.
  cpuSeconds: Math.round((user + system) / 10_000) / 100,
  itemsPerSecond: Math.round(items.length / seconds),
  heapMiB: Math.round(process.memoryUsage().heapUsed / 1_048_576),
  superseded,
  open: matcher.openCount,
  ...score,
}
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
