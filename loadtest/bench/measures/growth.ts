/** Whether a ledger that has grown is slower than an empty one: the same number of transfers at the beginning and at the end of its growth. */
import type { Lab } from '../lab.ts'
import type { Measurement } from '../measure.ts'
import { significant } from '../statistics.ts'
import { bytesPerTransaction } from '../table-sizes.ts'
import { applyPreloaded, expectRight, preload } from './engine.ts'

/** Transfers of one step of growing: what waits in the topics stays bounded. */
const STEP = 500_000

/** The value is the rate of the grown ledger. */
export const measureGrowth = (lab: Lab): Promise<Measurement> =>
  lab.withLedger({}, async (ledger) => {
    const { transfers, growth } = lab.extent
    const step = async (count: number): Promise<number> => {
      const load = await preload(lab, ledger, { transfers: count })
      const { value } = await applyPreloaded(lab, [load])
      await expectRight(ledger, load.expectation)
      return value
    }
    const empty = await step(transfers)
    let stored = transfers
    while (stored < growth) {
      const count = Math.min(STEP, Math.max(transfers, growth - stored))
      const rate = await step(count)
      stored += count
      lab.progress(`${stored} stored; the last ${count} at ${Math.round(rate)}/s`)
    }
    const grown = await step(transfers)
    stored += transfers
    return {
      value: grown,
      details: {
        empty_per_s: significant(empty),
        stored,
        bytes_per_transaction: await bytesPerTransaction(ledger.pool, stored),
      },
    }
  })
