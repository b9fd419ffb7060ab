/** A chunk is decoded in slices: what else the process must do, heartbeats above all, doesn't wait for the end of it. */
import { expect, test } from 'vitest'
import type { IngestRecord } from '#platform/kafka/ingest-record.ts'
import type { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { localContracts, localSchemas } from '../testing/ledger-fixture.ts'
import { makeChunkDecoder } from './chunk-decoder.ts'

const RECORDS = 20

test('large records leave room for others between them, and come out in order', async () => {
  const { decode } = makeChunkDecoder({
    registry: localSchemas as unknown as SchemaRegistry,
    contracts: localContracts,
    topicPrefix: 'p.',
  })
  const postings = Array.from({ length: 15_000 }, () => ({
    debit: 'a',
    credit: 'b',
    amount: 1,
    currency: 'EUR',
  }))
  const value = Buffer.from(JSON.stringify({ id: 'x', postings }))
  const records = Array.from(
    { length: RECORDS },
    (_, offset): IngestRecord => ({
      topic: 'p.transactions',
      partition: 0,
      offset: BigInt(offset),
      timestampMs: 0n,
      key: null,
      value,
      headers: {},
      sizeBytes: value.length,
    }),
  )
  let turns = 0
  const turn = () => {
    turns += 1
    next = setImmediate(turn)
  }
  let next = setImmediate(turn)
  const inputs = await decode({ topic: 'p.transactions', records })
  clearImmediate(next)
  expect(inputs.map(({ offset }) => Number(offset))).toEqual(records.map(({ offset }) => Number(offset)))
  expect(turns).toBeGreaterThan(3)
})
