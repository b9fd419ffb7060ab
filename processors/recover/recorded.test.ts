/** The recorded history where a repair has put batches behind their turn. */
import { describe, expect, it } from 'vitest'
import type { IngestRecord } from '#platform/kafka/ingest-record.ts'
import { REPAIR_HEADER } from '../runtime/repair.ts'
import { type BatchTopic, type LedgerBatchValue, recordedHistory } from './recorded.ts'

/** @param log batches as they stand on the topic, those of a repair with `!` behind */
const historyOf = (log: readonly string[]) => {
  const topic: BatchTopic = {
    async *read() {
      yield log.map(
        (text) =>
          ({
            value: Buffer.from(text.replace('!', '')),
            headers: text.endsWith('!') ? { [REPAIR_HEADER]: Buffer.from('') } : undefined,
          }) as unknown as IngestRecord,
      )
    },
    decode: async (values) =>
      values.map((value): LedgerBatchValue => {
        const sequence = BigInt(value.toString())
        const source = {
          topic: 'transactions',
          partition: 0,
          from: String(sequence - 1n),
          next: String(sequence),
        }
        return {
          sequence,
          previousHash: Buffer.alloc(32),
          hash: Buffer.alloc(32),
          header: Buffer.from(JSON.stringify({ cluster: 'c', sources: [source] })),
          timeline: 1n,
          genesisTick: null,
          genesisLogic: null,
        }
      }),
  }
  return recordedHistory(null, topic)
}

const sequencesOf = async (log: readonly string[], after = 0n): Promise<number[]> => {
  const found: number[] = []
  for await (const { sequence } of historyOf(log).after(after)) found.push(Number(sequence))
  return found
}

describe('batches on the topic', () => {
  it('are in sequence, each once, where a repair has put some behind their turn', async () => {
    expect(await sequencesOf(['1', '2', '3'])).toEqual([1, 2, 3])
    expect(await sequencesOf(['1', '4', '2!', '3!', '5'])).toEqual([1, 2, 3, 4, 5])
    expect(await sequencesOf(['1', '3', '5', '4!', '2!'], 1n)).toEqual([2, 3, 4, 5])
    expect(await sequencesOf(['1', '2', '3', '2!'])).toEqual([1, 2, 3])
  })

  it('say how far they are published, whatever stands last', async () => {
    expect(await historyOf(['1', '3', '2!']).plan(0n)).toMatchObject({
      last: 3n,
      published: 3n,
      ranges: [{ from: 0n, next: 3n }],
    })
  })

  it('that are nowhere are a gap', async () => {
    await expect(sequencesOf(['1', '4', '2!'])).rejects.toMatchObject({ code: 'recover_gap' })
    await expect(sequencesOf(['1', '4', '2', '3'])).rejects.toMatchObject({ code: 'recover_gap' })
  })
})
