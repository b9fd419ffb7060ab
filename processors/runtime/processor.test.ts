/** What the processor does when things go wrong beside the ledger: sessions, readers, stops. The ledger itself is tested on Postgres. */
import { describe, expect, test, vi } from 'vitest'
import { transaction } from '#domain/ledger/testing/memory-ledger.ts'
import { OperatingError, UnreachableError } from '#platform/errors.ts'
import type { LedgerStore } from '#platform/postgres/ledger-store/store.ts'
import { systemClock } from '#platform/time/clock.ts'
import { BatchSize } from './batch-size.ts'
import { Processor } from './processor.ts'
import type { IngestReader, ProcessorOptions, ReaderHooks } from './processor-options.ts'

interface FakeSession {
  isBroken: boolean
  isClosed: boolean
}

/** Sessions that open after a moment, as real ones do, and readers made by the test. */
const setUp = (
  makeReader: (hooks: ReaderHooks, count: number) => Partial<IngestReader>,
  decode: ProcessorOptions['decode'] = async () => [],
) => {
  const sessions: FakeSession[] = []
  const readers: Partial<IngestReader>[] = []
  const openSession = async () => {
    await new Promise((resolve) => setTimeout(resolve, 5))
    const session = {
      isBroken: false,
      isClosed: false,
      claim: async () => [{ topic: 'transactions', partition: 0, nextOffset: 0n, epoch: 1n, last: null }],
      release: async () => undefined,
      close: async () => {
        session.isClosed = true
      },
    }
    sessions.push(session)
    return session as unknown as LedgerStore
  }
  const processor = new Processor({
    topicPrefix: '',
    makeReader: (hooks) => {
      const reader = {
        start: async () => undefined,
        take: async () => {
          await new Promise((resolve) => setTimeout(resolve, 5))
          return []
        },
        stop: async () => undefined,
        ...makeReader(hooks, readers.length + 1),
      }
      readers.push(reader)
      return reader
    },
    openSession,
    context: {} as ProcessorOptions['context'],
    decode,
    admin: { ranges: async () => [] },
    clock: systemClock,
    batchSize: new BatchSize({ recordsMin: 1, recordsMax: 10, wallMaxMs: 100 }),
    batchBytesMax: 1_000,
    logger: { info: () => undefined, warn: () => undefined, error: () => undefined },
    onBatch: () => undefined,
    onIncident: () => undefined,
  })
  return { processor, sessions, readers }
}

const TAKEN = [{ topic: 'transactions', partition: 0 }]

describe('processor', () => {
  test('after a failure loop and claim share one new session, and none is left open', async () => {
    const { processor, sessions, readers } = setUp((hooks, count) => ({
      start: async () => {
        // As the real one: the claim comes at the moment in which the start returns.
        if (count === 2) void hooks.claim(TAKEN)
      },
      take: async () => {
        if (count === 1) throw new UnreachableError('kafka', 'away')
        await new Promise((resolve) => setTimeout(resolve, 5))
        return []
      },
    }))
    const running = processor.run()
    await vi.waitFor(() => expect(readers).toHaveLength(2))
    await vi.waitFor(() => expect(sessions.length).toBeGreaterThan(1))
    await new Promise((resolve) => setTimeout(resolve, 30))
    await processor.stop()
    await running
    expect(sessions).toHaveLength(2)
    expect(sessions.map(({ isClosed }) => isClosed)).toEqual([true, true])
  })

  test('a reader that could not start is replaced until one can', async () => {
    const takenBy: number[] = []
    const { processor } = setUp((_hooks, count) => ({
      start: async () => {
        if (count === 2 || count === 3) throw new UnreachableError('kafka', 'still away')
      },
      take: async () => {
        takenBy.push(count)
        if (count === 1) throw new UnreachableError('kafka', 'away')
        await new Promise((resolve) => setTimeout(resolve, 5))
        return []
      },
    }))
    const running = processor.run()
    await vi.waitFor(() => expect(takenBy).toContain(4), { timeout: 2_000 })
    await processor.stop()
    await running
    expect(new Set(takenBy)).toEqual(new Set([1, 4]))
  })

  test('a first start is tried again where something is away, and fails where something is wrong', async () => {
    const stopped: number[] = []
    const { processor, readers } = setUp((_hooks, count) => ({
      start: async () => {
        if (count === 1) throw new UnreachableError('kafka', 'away')
        if (count === 2) throw new OperatingError('topic_unknown', 'not there')
      },
      stop: async () => {
        stopped.push(count)
      },
    }))
    const running = processor.run()
    await vi.waitFor(() => expect(readers.length).toBeGreaterThan(2), { timeout: 2_000 })
    await processor.stop()
    await running
    expect(stopped.slice(0, 2)).toEqual([1, 2])

    const wrong = setUp(() => ({
      start: async () => {
        throw new OperatingError('topic_unknown', 'not there')
      },
    }))
    await expect(wrong.processor.run()).rejects.toThrow('not there')
  })

  test('records that wait for others are bounded by their size, too; what they wait for is read all the same', async () => {
    const position = { topic: 'transactions', partition: 0 }
    let taken = 0n
    let othersAskedFor = 0
    const { processor } = setUp(
      (hooks) => ({
        start: async () => void (await hooks.claim(TAKEN)),
        take: async ({ except }) => {
          if (except?.has('transactions:0') === true) {
            othersAskedFor += 1
            await new Promise((resolve) => setTimeout(resolve, 5))
            return []
          }
          const fetchedOffset = taken++
          const record = { ...position, offset: fetchedOffset, key: null, value: null, headers: undefined }
          const records = [{ ...record, timestampMs: 0n, sizeBytes: 1_000 }]
          return [
            { ...position, fetchedOffset, nextOffset: taken, highWatermark: taken, records, bytes: 1_000 },
          ]
        },
      }),
      async ({ fetchedOffset: offset }) => [
        { ...transaction({ after: { topic: 'accounts', partition: 0, offset: 9n } }), ...position, offset },
      ],
    )
    const running = processor.run()
    await vi.waitFor(() => expect(taken).toBeGreaterThan(5n))
    await vi.waitFor(() => expect(othersAskedFor).toBeGreaterThan(5))
    expect(processor.waiting()).toEqual({ after: 1, schema: 0 })
    await processor.stop()
    await running
    expect(taken).toBeLessThanOrEqual(8n)
  })

  test('a reader that was replaced is late with claim, release and incident: its successor keeps what it has', async () => {
    const hooks: ReaderHooks[] = []
    const takes: number[] = []
    const { processor } = setUp((given, count) => {
      hooks.push(given)
      return {
        start: async () => {
          if (count === 2) await given.claim(TAKEN)
        },
        take: async () => {
          takes.push(count)
          if (count === 1) throw new UnreachableError('kafka', 'away')
          await new Promise((resolve) => setTimeout(resolve, 5))
          return []
        },
      }
    })
    const running = processor.run()
    await vi.waitFor(() => expect(takes).toContain(2), { timeout: 15_000 })
    // Not before its first step is over.
    await vi.waitFor(() => expect(processor.ready).toBe(true), { timeout: 15_000 })
    await expect(hooks[0]?.claim(TAKEN)).rejects.toThrow('replaced')
    await hooks[0]?.release()
    hooks[0]?.onIncident({ ...TAKEN[0]!, code: 'position_out_of_range', detail: 'late' })
    expect(processor.ready).toBe(true)
    await processor.stop()
    await running
  })

  test('a claim while it is being stopped is refused: no positions would look like an incident', async () => {
    let hooks: ReaderHooks | undefined
    const { processor } = setUp((given) => {
      hooks = given
      return {}
    })
    const running = processor.run()
    await vi.waitFor(() => expect(hooks).toBeDefined())
    await processor.stop()
    await running
    await expect(hooks?.claim(TAKEN)).rejects.toThrow('being stopped')
  })
})
