/** Builds match items for tests: everything that isn't said is absent, so what a test sets means something. */
import { type MatchItem, NO_REFERENCES, type Side } from '../item.ts'

type Given = Partial<Omit<MatchItem, 'amountMinor' | 'side' | 'references'>> &
  Partial<MatchItem['references']> & { readonly day?: number }

/** Day 100 is the default. */
export function itemOf(side: Side, id: string, amountMinor: number, given: Given = {}): MatchItem {
  const { day = 100, endToEndId, uetr, transactionId, creditorReference, ...rest } = given
  return {
    id,
    side,
    account: 'nostro',
    currency: 'EUR',
    amountMinor: BigInt(amountMinor),
    original: null,
    bookingDay: day,
    valueDay: day,
    references: {
      ...NO_REFERENCES,
      ...Object.fromEntries(
        Object.entries({ endToEndId, uetr, transactionId, creditorReference }).filter(
          ([, value]) => value !== undefined,
        ),
      ),
    },
    groupKey: null,
    counterpartyAccount: null,
    remittance: null,
    isReturn: false,
    provenance: '',
    ...rest,
  }
}

export const ledgerItem = (id: string, amountMinor: number, given: Given = {}): MatchItem =>
  itemOf('ledger', id, amountMinor, given)

export const bankItem = (id: string, amountMinor: number, given: Given = {}): MatchItem =>
  itemOf('bank', id, amountMinor, given)
