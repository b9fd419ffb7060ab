/** Items, statements and events as they are stored: JSON without bigint, amounts as text. */
import type { MatchItem } from '#domain/matching/item.ts'
import type { PairStatement } from '#domain/reconciliation/pair-state.ts'
import { formatDecimal, parseDecimal } from '#domain/statements/decimal.ts'

/** JSON with every bigint as text. */
export const jsonOf = (value: unknown): string =>
  JSON.stringify(value, (_key, part: unknown) => (typeof part === 'bigint' ? part.toString() : part))

/** An item; property by property, since a replacer and even a copy cost more than all the rest, and there are millions. */
export const itemJson = (item: MatchItem): string =>
  JSON.stringify({
    id: item.id,
    side: item.side,
    account: item.account,
    currency: item.currency,
    amountMinor: item.amountMinor.toString(),
    original:
      item.original === null ? null : { ...item.original, amountMinor: item.original.amountMinor.toString() },
    bookingDay: item.bookingDay,
    valueDay: item.valueDay,
    references: item.references,
    groupKey: item.groupKey,
    counterpartyAccount: item.counterpartyAccount,
    remittance: item.remittance,
    isReturn: item.isReturn,
    provenance: item.provenance,
  } satisfies Record<keyof MatchItem, unknown>)

type Stored<T> = { readonly [Key in keyof T]: unknown }

/** @param stored as `jsonOf` wrote it */
export function itemOf(stored: Stored<MatchItem>): MatchItem {
  const item = stored as MatchItem
  return {
    ...item,
    amountMinor: BigInt(item.amountMinor),
    original:
      item.original === null ? null : { ...item.original, amountMinor: BigInt(item.original.amountMinor) },
  }
}

const balanceText = (balance: PairStatement['opening']) =>
  balance === null ? null : { amount: formatDecimal(balance.amount, 0), date: balance.date }

export const statementJson = (statement: PairStatement): string =>
  JSON.stringify({
    ...statement,
    opening: balanceText(statement.opening),
    closing: balanceText(statement.closing),
  })

interface StoredBalance {
  readonly amount: string
  readonly date: string | null
}

const balanceOf = (stored: StoredBalance | null): PairStatement['opening'] =>
  stored === null ? null : { amount: parseDecimal(stored.amount, '.')!, date: stored.date }

/** @param stored as `statementJson` wrote it */
export function statementOf(
  stored: Omit<PairStatement, 'opening' | 'closing'> & {
    readonly opening: StoredBalance | null
    readonly closing: StoredBalance | null
  },
): PairStatement {
  return { ...stored, opening: balanceOf(stored.opening), closing: balanceOf(stored.closing) }
}
