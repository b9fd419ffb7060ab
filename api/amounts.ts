/** Amounts between the API's decimals in major units and the ledger's integers in minor units, and the balances that are shown. */

import { Problem } from '#api/problem.ts'
import { formatMinorAmount, parseDecimalAmount } from '#domain/money/amount.ts'
import { currencyByCode } from '#domain/money/currency.ts'
import { AMOUNT_MINOR_MAX } from '#domain/transactions/limits.ts'
import { REASON_TEXTS } from '#domain/transactions/reason-texts.ts'

const exponentOf = (currency: string): number => {
  const known = currencyByCode(currency)
  if (known === undefined)
    throw new Problem(
      422,
      'currency_unknown',
      `currency must be an ISO 4217 code, for example EUR, not "${currency.slice(0, 16)}".`,
      { members: { property: 'currency' } },
    )
  return known.exponent
}

/**
 * Minor units of an amount in major units.
 *
 * @param property What holds it, for the message.
 * @throws Problem `amount_invalid` where it isn't exact in the currency, `amount_too_large` where it is more than can be read,
 *   `currency_unknown` (422).
 */
export function readAmount(amount: string | number, currency: string, property = 'amount'): bigint {
  const exponent = exponentOf(currency)
  const amountMinor = parseDecimalAmount(amount, exponent)
  if (amountMinor !== null) return amountMinor
  if (isTooLarge(amount, exponent)) throw amountTooLarge(property)
  throw new Problem(
    422,
    'amount_invalid',
    `${property} must be an amount in major units that is exact in ${currency}, for example "${exampleAmount(currency)}".`,
    { members: { property } },
  )
}

/** Whether what can't be read is an amount beyond what any may be: a large number's digits may have been rounded before they came. */
function isTooLarge(amount: string | number, exponent: number): boolean {
  if (typeof amount === 'number') return amount * 10 ** exponent > Number(AMOUNT_MINOR_MAX)
  return /^0*[1-9]\d{15,}(\.\d+)?$/.test(amount) && (amount.split('.')[1] ?? '').length <= exponent
}

/** What is answered where an amount is more than the ledger takes. */
export const amountTooLarge = (property: string): Problem =>
  new Problem(422, 'amount_too_large', `${property}: ${REASON_TEXTS.amount_too_large}.`, {
    members: { property },
  })

const exampleAmount = (currency: string): string => showAmount(1275n, currency)

/** Exact decimal text in major units. */
export const showAmount = (amountMinor: bigint, currency: string): string =>
  formatMinorAmount(amountMinor, exponentOf(currency))

/**
 * A JSON number in major units where a double holds it exactly as written, else exact decimal text: what clients of the systems
 * that this one replaces expect, without ever being told a rounded amount.
 */
export function showCompatibleAmount(amountMinor: bigint, currency: string): number | string {
  const text = showAmount(amountMinor, currency)
  const digits = text.replace(/^-?0*\.?0*|\./g, '')
  // Every decimal of up to 15 digits survives a double.
  return digits.length <= 15 ? Number(text) : text
}

export interface ShownBalance {
  /** Minor units; positive on the account's normal side. */
  readonly balanceMinor: bigint
  /** Minor units that may still be spent; null = no limit. */
  readonly availableMinor: bigint | null
  readonly reservedMinor: bigint
}

/** Posted amounts are credits less debits; people expect an account's normal side to be positive. */
export const presentedPosted = (posted: bigint, normalSide: 'debit' | 'credit'): bigint =>
  normalSide === 'credit' ? posted : -posted

/** What a client sees of a balance. available = balance − reserved + overdraft limit; none where the account has no limit. */
export function shownBalance(balance: {
  posted: bigint
  reserved: bigint
  normalSide: 'debit' | 'credit'
  limited: boolean
  overdraftLimit: bigint
}): ShownBalance {
  const balanceMinor = presentedPosted(balance.posted, balance.normalSide)
  return {
    balanceMinor,
    reservedMinor: balance.reserved,
    availableMinor: balance.limited ? balanceMinor - balance.reserved + balance.overdraftLimit : null,
  }
}
