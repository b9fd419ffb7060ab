/** A whole audit of topics: which stretch of them is compared, and that nothing outside of it passes for good. */
import { describe, expect, it } from 'vitest'
import type { IngestRecord } from '#platform/kafka/ingest-record.ts'
import type { StoredBatch } from '#platform/postgres/batch-store.ts'
import { REPAIR_HEADER } from '../../runtime/repair.ts'
import { type AuditedTopic, auditOutputs } from './audit-outputs.ts'
import { bytesOf } from './compare.ts'

/** @param log batches of the messages, `!` behind those of a repair; all of one key */
const topicOf = (log: readonly string[], isCompacted: boolean): AuditedTopic => ({
  name: isCompacted ? 'compacted' : 'full',
  isCompacted,
  contentOf: bytesOf,
  partitionOf: () => 0,
  topic: {
    partitions: [{ partition: 0, start: 0n, end: BigInt(log.length) }],
    async *read() {
      yield log.map(
        (text, at) =>
          ({
            partition: 0,
            offset: BigInt(at),
            key: Buffer.from('a'),
            value: Buffer.from(text.replace('!', '')),
            headers: text.endsWith('!') ? { [REPAIR_HEADER]: Buffer.alloc(0) } : undefined,
          }) as unknown as IngestRecord,
      )
    },
    sequenceOf: (value) => BigInt(value.toString()),
    prepare: async () => undefined,
  },
})

/** @param kept the batches that are kept. @returns findings, and what a repair would publish */
const audit = async (
  log: readonly string[],
  stretch: {
    after?: bigint
    published: bigint
    decided?: bigint
    kept: readonly number[]
    signal?: AbortSignal
  },
) => {
  const { after = 0n, published, decided = published, kept, signal = new AbortController().signal } = stretch
  const report = await auditOutputs({
    topics: [topicOf(log, false), topicOf(log, true)],
    after,
    published,
    decided: async () => decided,
    batches: (async function* () {
      for (const sequence of kept) yield { sequence: BigInt(sequence) } as StoredBatch
    })(),
    expectedOf: async ({ sequence }) => {
      const outputs = [{ key: Buffer.from('a'), value: Buffer.from(String(sequence)) }]
      return new Map([
        ['full', outputs],
        ['compacted', outputs],
      ])
    },
    onBatch: () => undefined,
    signal,
  })
  return {
    findings: report.findings.map(({ topic, kind, sequence }) => `${topic}: ${kind} ${sequence}`),
    missing: report.missing.map(({ topic, sequence }) => `${topic} ${sequence}`),
  }
}

const NOTHING = { findings: [], missing: [] }

describe('an audit of outputs', () => {
  it('finds nothing where each batch left, also while more are decided and published', async () => {
    expect(await audit(['1', '2', '3'], { published: 3n, kept: [1, 2, 3] })).toEqual(NOTHING)
    expect(await audit(['1', '2', '3', '4'], { published: 3n, decided: 5n, kept: [1, 2, 3] })).toEqual(
      NOTHING,
    )
  })

  it('finds what left of batches that are not kept behind the last one, and mends nothing by what is older', async () => {
    expect(await audit(['1', '2', '3'], { published: 3n, kept: [1, 2] })).toEqual({
      findings: ['full: repeated 3', 'compacted: different 3'],
      missing: [],
    })
    expect((await audit(['1'], { published: 1n, kept: [] })).findings).toHaveLength(2)
  })

  it('finds a message of a batch that nobody has decided yet', async () => {
    expect(await audit(['1', '2', '9'], { published: 2n, decided: 4n, kept: [1, 2] })).toEqual({
      findings: ['full: repeated 9', 'compacted: different 9'],
      missing: [],
    })
  })

  it('does not look at what came before the stretch, also where a repair has put it behind', async () => {
    expect(await audit([], { after: 2n, published: 2n, kept: [] })).toEqual(NOTHING)
    expect(await audit(['1', '2', '3'], { after: 2n, published: 3n, kept: [3] })).toEqual(NOTHING)
    expect((await audit(['2', '3', '4', '1!'], { published: 4n, kept: [3, 4] })).findings).not.toContain(
      'full: repeated 1',
    )
  })

  it('that was stopped says nothing', async () => {
    const signal = AbortSignal.abort(new Error('stopped'))
    await expect(audit(['1'], { published: 1n, kept: [1], signal })).rejects.toThrow('stopped')
  })
})
