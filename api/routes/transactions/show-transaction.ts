/** Transactions as the API shows them. */
import { showAmount, showCompatibleAmount } from '#api/amounts.ts'
import type { DecisionRecord } from '#api/gateway/decision-reader.ts'
import { explanationOf } from '#domain/fraud/explain.ts'
import { currencyByCode } from '#domain/money/currency.ts'
import type { TransactionStatus } from '#domain/transactions/outcomes.ts'
import type { ListedTransaction } from '#platform/postgres/queries/list-transactions.ts'
import type { StoredTransaction } from '#platform/postgres/queries/read-transaction.ts'
import type { StoredDecision, StoredPosting } from '#platform/postgres/queries/transaction-rows.ts'

/** Statuses as clients of older systems know them: what the ledger calls applied is completed. */
export const shownStatus = (status: TransactionStatus): string =>
  status === 'applied' ? 'completed' : status

/** The ledger's word for a shown status. */
export const statusOfShown = (shown: string): string => (shown === 'completed' ? 'applied' : shown)

/** What a refused transaction asked for may be in a currency that doesn't exist: minor units of it mean nothing. */
const isKnown = (currency: string): boolean => currencyByCode(currency) !== undefined

const showPosting = (posting: StoredPosting): object => ({
  debit: posting.debit,
  credit: posting.credit,
  amount: isKnown(posting.currency) ? showAmount(posting.amountMinor, posting.currency) : null,
  currency: posting.currency,
})

const onlyValue = <Value>(values: readonly Value[]): Value | null =>
  new Set(values).size === 1 ? (values[0] ?? null) : null

/** The sum of postings by `show`; null where there is none, several currencies, or an unknown one. */
export function totalOf<Amount>(
  postings: readonly StoredPosting[],
  show: (amountMinor: bigint, currency: string) => Amount,
): Amount | null {
  const currency = onlyValue(postings.map((posting) => posting.currency))
  if (currency === null || !isKnown(currency)) return null
  return show(
    postings.reduce((total, posting) => total + posting.amountMinor, 0n),
    currency,
  )
}

/** One debit, one credit account, one currency: what `from`, `to` and `amount` say; null where there are several, or nothing is known. */
const summary = (postings: readonly StoredPosting[]): object => ({
  from: onlyValue(postings.map((posting) => posting.debit)),
  to: onlyValue(postings.map((posting) => posting.credit)),
  amount: totalOf(postings, showCompatibleAmount),
  currency: onlyValue(postings.map((posting) => posting.currency)),
})

/** What it posted; else what it reserved; else, where it was refused, what it had asked for. */
export function shownPostings(
  { decisions, hold }: StoredTransaction,
  records: readonly (DecisionRecord | undefined)[],
): readonly StoredPosting[] {
  const posted = decisions.flatMap((decision) => decision.postings)
  if (posted.length > 0) return posted
  return hold?.postings ?? records[0]?.requested ?? []
}

/** An item of the listing. */
export const showListed = (transaction: ListedTransaction): object => ({
  id: transaction.id,
  ...summary(transaction.postings),
  status: shownStatus(transaction.status),
  reason: transaction.reason,
  kind: transaction.kind,
  source: transaction.source,
  recorded_at: transaction.recordedAt.toISOString(),
  ...(transaction.postings.length > 1 ? { postings: transaction.postings.map(showPosting) } : {}),
})

const entriesOf = (decision: StoredDecision): object[] =>
  decision.postings.flatMap((posting) => {
    const amount = showAmount(posting.amountMinor, posting.currency)
    const { currency } = posting
    return [
      {
        account_id: posting.debit,
        side: 'debit',
        amount,
        currency,
        posted_after: showAmount(posting.debitPosted, currency),
      },
      {
        account_id: posting.credit,
        side: 'credit',
        amount,
        currency,
        posted_after: showAmount(posting.creditPosted, currency),
      },
    ]
  })

/** A fraud rule that fired. */
export const showRuleHit = (rule: DecisionRecord['rules'][number]) => ({
  rule_id: rule.ruleId,
  version: rule.version.toString(),
  value: rule.value.toString(),
  threshold: rule.threshold.toString(),
  action: rule.action,
  points: rule.points,
  words: rule.words,
})

/** A decision about a transaction, explained. */
export const showDecision = (decision: StoredDecision, record: DecisionRecord | undefined) => ({
  cause: decision.cause,
  outcome: decision.status,
  reason: decision.reason,
  actor: decision.actor,
  recorded_at: decision.recordedAt.toISOString(),
  sequence: decision.sequence.toString(),
  index: decision.index,
  topic: decision.topic,
  partition: decision.partition,
  offset: decision.offset.toString(),
  explanation: explanationOf({ ...decision, rules: record?.rules }),
  ...(record === undefined ? {} : { rules: record.rules.map(showRuleHit) }),
})

/** A transaction with its entries and every decision about it. @param records by place in the decisions */
export function showTransaction(
  transaction: StoredTransaction,
  records: readonly (DecisionRecord | undefined)[],
): object {
  const { decisions, hold } = transaction
  const last = decisions.at(-1)!
  const posted = decisions.flatMap((decision) => decision.postings)
  const shown = shownPostings(transaction, records)
  const reversed = [...transaction.reversedMinor].map(([place, amountMinor]) => ({
    posting: place,
    amount: showAmount(amountMinor, posted[place]?.currency ?? ''),
  }))
  return {
    id: transaction.id,
    source: transaction.source,
    kind: transaction.kind,
    ...summary(shown),
    ...(shown.length > 1 ? { postings: shown.map(showPosting) } : {}),
    status: shownStatus(last.status),
    reason: last.reason,
    occurred_at: transaction.occurredAt.toISOString(),
    value_at: last.valueAt.toISOString(),
    recorded_at: last.recordedAt.toISOString(),
    parent: transaction.parent,
    card: transaction.card,
    end_to_end_id: transaction.endToEndId,
    uetr: transaction.uetr,
    entries: decisions.flatMap(entriesOf),
    decision: showDecision(last, records.at(-1)),
    decisions: decisions.map((decision, place) => showDecision(decision, records[place])),
    hold:
      hold === null
        ? null
        : {
            kind: hold.kind,
            status: hold.status,
            expires_at: new Date(hold.expiresAtMs).toISOString(),
            postings: hold.postings.map((posting) => ({
              ...showPosting(posting),
              remaining: showAmount(posting.remainingMinor, posting.currency),
            })),
          },
    reversed,
  }
}
