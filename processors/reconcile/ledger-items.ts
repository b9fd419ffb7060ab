/** Postings of the ledger as items to match. */
import { currencyByNumeric } from '#domain/money/currency.ts'
import { type MatchItem, NO_REFERENCES, referenceOf } from '#domain/matching/item.ts'
import type { LedgerPosting } from '#platform/postgres/reconciliation/ledger-postings.ts'

const DAY_MS = 86_400_000

/**
 * One item for each side that is an account of the pair. A debit of a nostro account is money that came in: an asset of ours.
 * @param accounts of the ledger
 */
export function itemsOfPosting(posting: LedgerPosting, accounts: ReadonlySet<string>): MatchItem[] {
  const { debit, credit } = posting
  return [
    ...(debit !== null && accounts.has(debit) ? [itemOf(posting, debit, 0)] : []),
    ...(credit !== null && accounts.has(credit) ? [itemOf(posting, credit, 1)] : []),
  ]
}

/** @param side 0 = debit, 1 = credit: an entry is 2 × posting + side, as on the topic `ledger.entries` */
function itemOf(posting: LedgerPosting, account: string, side: 0 | 1): MatchItem {
  const { sequence, index, amountMinor, topic, partition, offset } = posting
  const entry = `${sequence}.${index}.${posting.posting * 2 + side}`
  return {
    id: `ledger:${entry}`,
    side: 'ledger',
    account,
    currency: currencyByNumeric(posting.currency)!.code,
    amountMinor: side === 0 ? amountMinor : -amountMinor,
    original: null,
    bookingDay: Math.floor(posting.recordedMs / DAY_MS),
    valueDay: Math.floor(posting.valueMs / DAY_MS),
    references: {
      ...NO_REFERENCES,
      endToEndId: referenceOf(posting.endToEndId),
      uetr: referenceOf(posting.uetr),
      transactionId: referenceOf(posting.transactionId),
    },
    groupKey: null,
    // The other account of the ledger is not the other party's at its bank.
    counterpartyAccount: null,
    remittance: null,
    isReturn: posting.isReversal,
    provenance: `entry ${entry} of ${posting.source === '' ? '' : `${posting.source}/`}${posting.transactionId}, ${topic}:${partition}:${offset}`,
  }
}
