/**
 * What most services do: eachMessage of the client, and one database transaction a record: take the id, lock both accounts, check the
 * balance, insert the transaction and its posting, update both accounts, note the offset. Same tables, same Postgres, no outputs.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { transactionKey } from '#domain/transactions/canonical.ts'
import { OperatingError } from '#platform/errors.ts'
import { makeKafka } from '#platform/kafka/client.ts'
import { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { AvroDecoder, writerIdOf } from '#platform/schema-registry/serde.ts'
import { publishTransactions } from '../../generator/publish-run.ts'
import type { BenchLedger, Lab } from '../lab.ts'
import type { Measurement } from '../measure.ts'
import { CURRENCY_NUMERIC, openBareAccounts } from './bare-ledger.ts'
import { planFor, publishingOn } from './engine.ts'

/** More than it can do in the time. */
const RECORDS_PER_SECOND_MAX = 6_000
const START_TIMEOUT_MS = 30_000

/** @param partitionsAtOnce how many partitions are worked on at the same time, each record by record */
export const measureNaive =
  (partitionsAtOnce: number) =>
  (lab: Lab): Promise<Measurement> =>
    lab.withLedger({}, async (ledger) => {
      const { accounts, seconds } = lab.extent
      const plan = await planFor(lab, ledger, { transfers: RECORDS_PER_SECOND_MAX * (seconds + 2) })
      await openBareAccounts(ledger, accounts + 1, `plain:${plan.run}-`)
      await publishTransactions(plan, publishingOn(lab, ledger))
      const count = { applied: 0 }
      const stop = await consume(ledger, partitionsAtOnce, count)
      try {
        const deadline = performance.now() + START_TIMEOUT_MS
        while (count.applied === 0) {
          if (performance.now() > deadline) throw new OperatingError('bench_timeout', 'nothing was consumed')
          await sleep(20)
        }
        const [begunMs, begun] = [performance.now(), count.applied]
        await sleep(seconds * 1_000, undefined, { signal: lab.signal })
        const applied = count.applied - begun
        const rate = applied / ((performance.now() - begunMs) / 1_000)
        if (count.applied >= plan.transactions) {
          throw new OperatingError('bench_too_short', 'the plain consumer had nothing left to do')
        }
        return { value: rate, details: { partitions_at_once: partitionsAtOnce, applied, seconds } }
      } finally {
        await stop()
      }
    })

interface Transfer {
  readonly id: string
  readonly source: string
  readonly occurredAt: bigint
  readonly postings: readonly { debit: string; credit: string; amount: bigint; currency: string }[]
}

/** Starts the consumer. @returns what stops it */
async function consume(
  ledger: BenchLedger,
  partitionsAtOnce: number,
  count: { applied: number },
): Promise<() => Promise<void>> {
  const { configuration, publisher } = ledger
  const kafka = makeKafka(configuration.kafka, { clientId: 'naive' })
  const registry = new SchemaRegistry(configuration.schemaRegistry)
  const decoder = new AvroDecoder<Transfer>(registry, publisher.contracts.transactions.schema)
  const consumer = kafka.consumer({ groupId: `${configuration.ledger.name}.naive` })
  await consumer.connect()
  await consumer.subscribe({ topics: [publisher.topicName('transactions')], fromBeginning: true })
  await consumer.run({
    partitionsConsumedConcurrently: partitionsAtOnce,
    eachMessage: async ({ partition, message }) => {
      const writer = writerIdOf(message.value!)
      if (!decoder.isReady(writer!)) await decoder.prepare(new Set([writer!]))
      await apply(ledger, decoder.decode(message.value!), { partition, offset: message.offset })
      count.applied += 1
    },
  })
  return async () => {
    await consumer.disconnect()
  }
}

const PROGRAM = {
  id: `insert into transaction_ids (key, content, sequence, index, recorded_at) values ($1, $1, 0, 0, now())
    on conflict do nothing`,
  lock: `select account_no, posted, overdraft_limit from accounts where account_id = any($1) order by account_no for update`,
  transaction: `insert into transactions (recorded_at, sequence, index, key, id, source, kind, cause, status, occurred_at, value_at,
    topic, partition, "offset", actor) values (now(), $1, 0, $2, $3, $4, 0, 0, 0, now(), now(), 'transactions', $5, $6, 'naive')`,
  posting: `insert into postings (recorded_at, sequence, index, posting, debit_no, credit_no, amount, currency, debit_posted,
    credit_posted, value_at) select now(), $1, 0, 0, d.account_no, c.account_no, $4, ${CURRENCY_NUMERIC}, d.posted - $4,
    c.posted + $4, now() from accounts d, accounts c where d.account_id = $2 and c.account_id = $3`,
  update: `update accounts set posted = posted + case account_id when $1 then -$3::bigint else $3::bigint end
    where account_id in ($1, $2)`,
  offset: `insert into ingest_offsets (cluster_id, topic, partition, next_offset) values ('naive', 'transactions', $1, $2)
    on conflict (cluster_id, topic, partition) do update set next_offset = excluded.next_offset`,
} as const

async function apply(
  { writer }: BenchLedger,
  { id, source, postings }: Transfer,
  { partition, offset }: { partition: number; offset: string },
): Promise<void> {
  const { debit, credit, amount } = postings[0]!
  const key = transactionKey(source, id)
  const sequence = BigInt(partition) * 1_000_000_000n + BigInt(offset)
  const client = await writer.connect()
  const run = (name: keyof typeof PROGRAM, values: unknown[]) =>
    client.query({ name: `naive-${name}`, text: PROGRAM[name], values })
  try {
    await client.query('begin')
    const taken = await run('id', [key])
    if (taken.rowCount === 1) {
      const { rows } = await run('lock', [[debit, credit]])
      if (rows.length !== 2)
        throw new OperatingError('bench_wrong_result', `no account ${debit} or ${credit}`)
      await run('transaction', [sequence, key, id, source, partition, offset])
      await run('posting', [sequence, debit, credit, amount])
      await run('update', [debit, credit, amount])
    }
    await run('offset', [partition, BigInt(offset) + 1n])
    await client.query('commit')
  } catch (error) {
    await client.query('rollback').catch(() => undefined)
    throw error
  } finally {
    client.release()
  }
}
