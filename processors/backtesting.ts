/** Back-tests of a rulebook on the ledger's own decisions: batch records in sequence, decoded and run through processors/fraud/backtest.ts. */
import type { Rulebook } from '#domain/fraud/rulebook/definition.ts'
import { watchOfBook, type Watch } from '#domain/fraud/rulebook/watch.ts'
import { subjectsOf, wholeOf } from '#domain/ledger/fraud.ts'
import { partyNamesOf } from '#domain/ledger/needs.ts'
import type { Posting, TransactionCommand } from '#domain/transactions/command.ts'
import { transactionKey } from '#domain/transactions/canonical.ts'
import { OperatingError } from '#platform/errors.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { listRules } from '#platform/postgres/queries/list-rules.ts'
import { readHistoryEnds } from '#platform/postgres/queries/read-batch-headers.ts'
import { readCustomers } from '#platform/postgres/queries/read-customers.ts'
import { schemaOf } from '#platform/schema-registry/contracts.ts'
import type { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { AvroDecoder, writerIdOf } from '#platform/schema-registry/serde.ts'
import { TOPICS } from '#schemas/topics.ts'
import { readLabels, type StoredLabel } from '#platform/postgres/queries/read-labels.ts'
import { allDecisions, type BacktestSettings } from './backtest-batches.ts'
import { Backtest, type BacktestResult, type DecidedPayment } from './fraud/backtest.ts'

export interface BacktestOptions {
  readonly candidate: Rulebook
  /** Payments that occurred before it only fill the features, ms since 1970; null = all count. */
  readonly fromMs: number | null
  readonly signal: AbortSignal
  /** What is known of a payment by its id; null where nothing is. */
  readonly labelOf: (id: string) => boolean | null
  readonly progress: (message: string) => void
}

/** What is read of a record of `transactions.processed`. */
interface Processed
  extends Pick<TransactionCommand, 'card' | 'merchant' | 'terminal' | 'device' | 'country'> {
  readonly id: string
  readonly source: string
  readonly kind: string
  readonly cause: string
  readonly status: string
  readonly reason: string | null
  readonly occurredAt: bigint
  readonly recordedAt: bigint
  readonly postings: readonly Posting[]
  readonly requested: readonly Posting[]
  readonly rules: DecidedPayment['hits']
}

const LOOKED_AT = new Set(['post', 'authorize', 'exchange'])
/** Why a payment may be rejected after it was looked at. */
const LATE_REASONS = new Set(['fraud_rejected', 'insufficient_funds', 'balance_overflow'])
const TOLD_EVERY_BATCHES = 1_000n

/**
 * Runs the whole kept history through the candidate.
 * @throws OperatingError `head_missing`, `batches_gone` where the first batches aren't kept, neither in Postgres nor in the archive or topic: features would be other ones
 */
export async function backtestLedger(
  { configuration, pool }: { readonly configuration: BacktestSettings; readonly pool: ReadPool },
  registry: SchemaRegistry,
  options: BacktestOptions,
): Promise<BacktestResult> {
  const ends = await readHistoryEnds(pool)
  if (ends === undefined)
    throw new OperatingError('head_missing', 'expected a ledger with tables, found none')
  const decoder = new AvroDecoder<Processed>(registry, schemaOf(TOPICS.processed))
  const singles = new Set(
    (await listRules(pool)).filter((rule) => rule.definition === null).map((rule) => rule.ruleId),
  )
  const backtest = new Backtest(options.candidate, (ruleId) => singles.has(ruleId))
  const labels = new LabelCursor(await readLabels(pool))
  for await (const { sequence, values } of allDecisions(configuration, pool, ends.sequence)) {
    options.signal.throwIfAborted()
    await decoder.prepare(values.flatMap((value) => writerIdOf(value) ?? []))
    const records = values.map((value) => decoder.decode(value))
    await addRecords(pool, backtest, records, { ...options, labels })
    labels.learn(sequence, backtest)
    if (sequence % TOLD_EVERY_BATCHES === 0n) options.progress(`${sequence} of ${ends.sequence} batches`)
  }
  return backtest.result()
}

/** Labels, learned with the batches that decided them. */
class LabelCursor {
  readonly #labels: readonly StoredLabel[]
  readonly #known: ReadonlyMap<string, boolean>
  #next = 0
  /** The ledger's time, ms since 1970. */
  nowMs = 0

  constructor(labels: readonly StoredLabel[]) {
    this.#labels = labels
    this.#known = new Map(labels.map(({ key, isFraud }) => [key, isFraud]))
  }

  isFraud(key: string): boolean | null {
    return this.#known.get(key) ?? null
  }

  /** Where in a batch a label came makes no difference: none counts before the seventh day. */
  learn(sequence: bigint, backtest: Backtest): void {
    for (; this.#labels[this.#next] !== undefined; this.#next += 1) {
      const { key, isFraud, version } = this.#labels[this.#next]!
      if (version > sequence) return
      backtest.learn(key, isFraud, this.nowMs)
    }
  }
}

async function addRecords(
  pool: ReadPool,
  backtest: Backtest,
  records: readonly Processed[],
  options: BacktestOptions & { readonly labels: LabelCursor },
): Promise<void> {
  const watch = watchOfBook(options.candidate)
  const customers = await readCustomers(pool, [
    ...new Set(
      records.flatMap((record) => [
        ...(payerOf(record) === null ? [] : [payerOf(record)!]),
        ...(watch.receipts ? receiptsOf(record).map(({ credit }) => credit) : []),
      ]),
    ),
  ])
  for (const record of records) {
    options.labels.nowMs = Number(record.recordedAt)
    if (record.cause === 'review') backtest.review(nameOf(record), record.status === 'declined')
    const payer = payerOf(record)
    if (payer !== null && customers.has(payer)) backtest.add(paymentOf(record, payer, watch, options))
    if (!watch.receipts) continue
    for (const { credit, amount } of receiptsOf(record)) {
      if (customers.has(credit)) backtest.receive(credit, wholeOf(amount), cameAt(record))
    }
  }
}

/** What was paid to somebody, reversals aside: as noteReceipts of domain/ledger/fraud.ts. */
const receiptsOf = ({ status, kind, postings }: Processed): readonly Posting[] =>
  status === 'applied' && kind !== 'reverse' ? postings : []

const cameAt = ({ cause, occurredAt, recordedAt }: Processed): number =>
  Number(cause === 'review' ? recordedAt : occurredAt)

const nameOf = ({ source, id }: Processed): string => transactionKey(source, id)

/** Who was looked at; null where nobody was. */
const payerOf = ({ cause, kind, status, reason, postings, requested }: Processed): string | null => {
  if (cause !== 'transaction' || !LOOKED_AT.has(kind) || status === 'duplicate') return null
  if (status === 'rejected' && !LATE_REASONS.has(reason ?? '')) return null
  return (postings[0] ?? requested[0])?.debit ?? null
}

const paymentOf = (
  record: Processed,
  payer: string,
  watch: Watch,
  { fromMs, labelOf, labels }: BacktestOptions & { readonly labels: LabelCursor },
): DecidedPayment => {
  const postings = record.postings.length > 0 ? record.postings : record.requested
  const paid = postings.filter(({ debit }) => debit === payer)
  const subjects = subjectsOf({ ...record, postings }, payer)
  const at = Number(record.occurredAt)
  return {
    name: nameOf(record),
    shown: `${record.source}/${record.id}`,
    facts: {
      amount: wholeOf(paid.reduce((sum, { amount }) => sum + amount, 0n)),
      at,
      account: payer,
      counterparty: subjects.counterparty,
      country: record.country,
    },
    currency: postings[0]!.currency,
    kind: record.kind,
    subjects,
    parties: partyNamesOf(record, watch),
    recordedAtMs: Number(record.recordedAt),
    isDeclined: record.status === 'rejected',
    hits: record.rules,
    isFraud: labelOf(record.id) ?? labels.isFraud(nameOf(record)),
    isCounted: fromMs === null || at >= fromMs,
  }
}
