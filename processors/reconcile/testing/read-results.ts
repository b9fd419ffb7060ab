/** What reconciliation published. */
import { RangeReader } from '#platform/kafka/range-reader.ts'
import type { ResultValue } from '#platform/postgres/reconciliation/results.ts'
import type { PipelineFixture } from '../../testing/pipeline-fixture.ts'

/** All of the topic, as a read_committed reader sees it. */
export async function readResults(fixture: PipelineFixture): Promise<ResultValue[]> {
  const ranges = new RangeReader(fixture.kafka)
  try {
    const topic = fixture.topic('reconciliation.results')
    const [range] = await fixture.admin.ranges(topic)
    const values: (Buffer | null)[] = []
    for await (const chunk of ranges.read(topic, 0, range!.start, range!.end)) {
      values.push(...chunk.map(({ value }) => value))
    }
    return await fixture.decode<ResultValue>('reconciliationResults', values)
  } finally {
    await ranges.close()
  }
}
