/** Memory of a processor at full speed with a backlog, and how long it takes to start: of the throughput that was just measured. */
import type { Lab } from '../lab.ts'
import type { Measurement } from '../measure.ts'

/** The value is the most that the processor held, MiB. */
export async function measureMemory(lab: Lab): Promise<Measurement> {
  const { details } = lab.measured('throughput')
  const { rss_mib: rss, ready_s: ready } = details as unknown as {
    rss_mib: Record<string, { most: number; quarters: Record<string, number> }>
    ready_s: number
  }
  return {
    value: rss.processor!.most,
    details: {
      backlog: lab.extent.transfers,
      processor_by_quarter: rss.processor!.quarters,
      publisher_most: rss.publisher!.most,
      ready_s: ready,
    },
  }
}
