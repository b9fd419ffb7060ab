/** Transactions as the API shows them. */
import { showAmount, showCompatibleAmount } from '#api/amounts.ts'
import type { DecisionExplanation } from '#api/dependencies.ts'
import type { TransactionStatus } from '#domain/transactions/outcomes.ts'
import type { ListedTransaction } from '#platform/postgres/queries/list-transactions.ts'
import type { StoredTransaction } from '#platform/postgres/queries/read-transaction.ts'
import type { StoredDecision, StoredPosting } from '#platform/postgres/queries/transaction-rows.ts'

/** Statuses as clients of older systems know them: what the ledger calls applied is completed. */
export const shownStatus = (status: TransactionStatus): string =>
  status === 'applied' ? 'completed' : status

/** The ledger's word for a shown status. */
export const statusOfShown = (shown: string): string => (shown === 'completed' ? 'applied' : shown)

const showPosting = (posting: StoredPosting): object => ({
  debit: posting.debit,
  credit: posting.credit,
  amount: showAmount(posting.amountMinor, posting.currency),
  currency: posting.currency,
})

const onlyValue = <Value>(values: readonly Value[]): Value | null =>
  new Set(values).size === 1 ? (values[0] ?? null) : null

/** One debit, one credit account, one currency: what `from`, `to` and `amount` say; null where there are several, or nothing is known. */
function summary(postings: readonly StoredPosting[]): object {
  const currency = onlyValue(postings.map((posting) => posting.currency))
  const totalMinor = postings.reduce((total, posting) => total + posting.amountMinor, 0n)
  return {
    from: onlyValue(postings.map((posting) => posting.debit)),
    to: onlyValue(postings.map((posting) => posting.credit)),
    amount: currency === null ? null : showCompatibleAmount(totalMinor, currency),
    currency,
  }
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

const showDecision = (decision: StoredDecision, explanation: DecisionExplanation | undefined): object => ({
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
  ...(explanation === undefined
    ? {}
    : {
        rules: explanation.rules.map((rule) => ({
          rule_id: rule.ruleId,
          version: rule.version.toString(),
          value: rule.value.toString(),
          threshold: rule.threshold.toString(),
          action: rule.action,
        })),
      }),
})

/** A transaction with its entries and every decision about it. */
export function showTransaction(
  transaction: StoredTransaction,
  explanations: readonly (DecisionExplanation | undefined)[],
): object {
  const { decisions, hold } = transaction
  const last = decisions.at(-1)!
  const posted = decisions.flatMap((decision) => decision.postings)
  const reversed = [...transaction.reversedMinor].map(([place, amountMinor]) => ({
    posting: place,
    amount: showAmount(amountMinor, posted[place]?.currency ?? ''),
  }))
  return {
    id: transaction.id,
    source: transaction.source,
    kind: transaction.kind,
    ...summary(posted.length > 0 ? posted : (hold?.postings ?? [])),
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
    decision: showDecision(last, explanations.at(-1)),
    decisions: decisions.map((decision, place) => showDecision(decision, explanations[place])),
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
