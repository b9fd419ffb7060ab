/** Spoiled records through everything but Kafka and Postgres: whatever comes can be decoded or dead-lettered, decided and published. */
import { expect, test } from 'vitest'
import { FrameWriter, readFrames } from '#domain/ledger/batch-record.ts'
import { account, MemoryLedger } from '#domain/ledger/testing/memory-ledger.ts'
import { seededRandom } from '#loadtest/faults/seeded-random.ts'
import { OperatingError } from '#platform/errors.ts'
import type { AvroSchemaObject } from '#platform/schema-registry/registry.ts'
import { decodeRecord, makeIngestCodecs, prepareSchemas } from '#processors/ingest/decode.ts'
import { writeOutputs } from '#processors/runtime/outputs.ts'
import { encodersOf, localContracts } from '#processors/testing/ledger-fixture.ts'
import { Fuzzer } from './mutations.ts'

const RECORDS = 10_000
const NOW_MS = 1_700_000_000_000
const SEED = 1
const BATCH = 50

/** As the registry answers: an id that was spoiled is unknown. */
const schema = async (id: number): Promise<AvroSchemaObject> => {
  const found = Object.values(localContracts).find((contract) => contract.id === id)
  if (found === undefined) throw new OperatingError('schema_unknown', `no schema ${id}`)
  return found.schema
}

test(`${RECORDS} seeded mutations are decided and can be published, seed ${SEED}`, async () => {
  const random = seededRandom(SEED)
  const fuzzer = new Fuzzer({ contracts: localContracts, random, nowMs: NOW_MS, partitions: 1 })
  const codecs = makeIngestCodecs({ schema }, localContracts)
  const ledger = new MemoryLedger()
  ledger.apply([account('alice', { limited: false }), account('bob', { limited: false })])
  const writer = new FrameWriter()
  const encoders = encodersOf(localContracts)
  const kinds: Record<string, number> = {}
  let frames = 0
  for (let first = 0; first < RECORDS; first += BATCH) {
    const inputs = []
    for (let offset = first; offset < first + BATCH; offset += 1) {
      const { topic, key, value, headers } = fuzzer.next()
      const record = {
        topic,
        partition: 0,
        offset: BigInt(offset),
        timestampMs: NOW_MS,
        key: key as Buffer | null,
        value,
        headers: Object.fromEntries(
          Object.entries(headers ?? {}).map(([name, text]) => [name, Buffer.from(text)]),
        ),
      }
      await prepareSchemas(codecs, topic, [record])
      const input = decodeRecord(record, codecs)
      kinds[input.type] = (kinds[input.type] ?? 0) + 1
      inputs.push(input)
    }
    const effects = ledger.decide(inputs, (state, decided) => {
      writeOutputs(writer, encoders, state, decided)
      frames += readFrames(writer.frames()).length
    })
    expect(effects.consumed).toBe(inputs.length)
  }
  for (const kind of ['transaction', 'account', 'card', 'review', 'rule', 'command', 'dead'])
    expect([kind, kinds[kind]! > RECORDS / 200]).toEqual([kind, true])
  expect(frames).toBeGreaterThan(RECORDS)
})
