/**
 * Booked balances of a camt message. Source: ISO 20022 external code set ExternalBalanceType1Code. OPBD opening booked,
 * PRCD closing booked of the statement before (an opening), CLBD closing booked, ITBD interim booked; available, forward and
 * expected balances (OPAV, CLAV, FWAV, ITAV, XPCD …) and those of the bank's own kinds say nothing of what is booked.
 */
import { negate } from '../decimal.ts'
import type { Balance } from '../model.ts'
import { amountOf, child, currencyOf, dateOf, isCredit, required, type XmlElement } from './element.ts'

/** A balance of a booked kind, or null. @throws StatementError where it is of a booked kind and can't be read */
export function readBalance(balance: XmlElement): { balance: Balance; signMissing: boolean } | null {
  const type = child(required(balance, 'Tp'), 'CdOrPrtry')
  const code = child(type, 'Cd')?.text.trim()
  if (code !== 'OPBD' && code !== 'PRCD' && code !== 'CLBD' && code !== 'ITBD') return null
  const amountElement = required(balance, 'Amt')
  const amount = amountOf(amountElement)
  const credit = isCredit(balance)
  return {
    balance: {
      amount: credit === false ? negate(amount) : amount,
      currency: currencyOf(amountElement),
      date: dateOf(child(balance, 'Dt')),
      code,
    },
    signMissing: credit === null,
  }
}

/**
 * Chooses the opening and closing booked balance.
 *
 * An interim balance closes a report of the running day (camt.052). In a statement (camt.053) it stands where pages are cut:
 * first where the page doesn't begin with the opening balance, last where it doesn't end with the closing one.
 */
export function chooseBalances(
  balances: readonly Balance[],
  message: '052' | '053' | '054',
): { opening: Balance | null; closing: Balance | null } {
  const first = (code: string) => balances.find((balance) => balance.code === code)
  const last = (code: string) => balances.findLast((balance) => balance.code === code)
  const interim = balances.filter(({ code }) => code === 'ITBD')
  const opening = first('OPBD') ?? first('PRCD')
  const closing = last('CLBD')
  if (message === '053' && opening === undefined && (closing !== undefined || interim.length > 1)) {
    return { opening: interim[0] ?? null, closing: closing ?? interim.at(-1) ?? null }
  }
  const interimCloses = message === '052' || opening !== undefined
  return {
    opening: opening ?? null,
    closing: closing ?? (interimCloses ? interim.at(-1) : undefined) ?? null,
  }
}
