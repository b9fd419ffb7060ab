/**
 * An entry (Ntry) of a camt message and its transaction details (TxDtls). Source: ISO 20022 message definition reports of
 * camt.052, 053 and 054, versions 02 to 14; where versions differ, each place is looked at (Sts as text or Sts/Cd, a party
 * directly or below Pty, BIC or BICFI, an amount below AmtDtls or TxDtls itself).
 */
import { type Decimal, negate } from '../decimal.ts'
import type { LineDetail, LineStatus, StatementLine } from '../model.ts'
import {
  amountOf,
  child,
  currencyOf,
  dateOf,
  firstText,
  invalid,
  isCredit,
  required,
  textOf,
  type XmlElement,
} from './element.ts'

const STATUSES: ReadonlyMap<string, LineStatus> = new Map([
  ['BOOK', 'booked'],
  ['PDNG', 'pending'],
  ['FUTR', 'future'],
  ['INFO', 'information'],
])

/**
 * Reads an entry.
 * @param details What its TxDtls were read into; see readDetail.
 * @throws StatementError where a mandatory element is missing or a value can't be read
 */
export function readEntry(entry: XmlElement, details: readonly PendingDetail[]): StatementLine {
  const amountElement = required(entry, 'Amt')
  required(entry, 'CdtDbtInd')
  const credit = isCredit(entry) === true
  const amount = amountOf(amountElement)
  return {
    line: entry.line,
    path: entry.path,
    status: statusOf(entry),
    amount: credit ? amount : negate(amount),
    currency: currencyOf(amountElement),
    reversal: isTrue(child(entry, 'RvslInd')),
    bookingDate: dateOf(child(entry, 'BookgDt')),
    valueDate: dateOf(child(entry, 'ValDt')),
    bankReference: textOf(entry, 'AcctSvcrRef'),
    reference: textOf(entry, 'NtryRef'),
    code: codeOf(child(entry, 'BkTxCd')),
    text: textOf(entry, 'AddtlNtryInf'),
    details: details.map((detail) => detail(credit)),
  }
}

function statusOf(entry: XmlElement): LineStatus {
  const element = child(entry, 'Sts')
  // Mandatory by the standard, yet whole banks leave it out, always for booked entries.
  if (element === undefined) return 'booked'
  // Later versions have a code or the bank's own word below it; that word says nothing of a booking.
  if (child(element, 'Prtry') !== undefined) return 'information'
  const coded = child(element, 'Cd') ?? element
  const status = STATUSES.get(coded.text.trim())
  if (status === undefined) throw invalid(coded, [...STATUSES.keys()].join(', '))
  return status
}

function isTrue(element: XmlElement | undefined): boolean {
  const text = element?.text.trim()
  if (element === undefined || text === 'false' || text === '0') return false
  if (text === 'true' || text === '1') return true
  throw invalid(element, 'true or false')
}

function codeOf(code: XmlElement | undefined): string | null {
  const domain = child(code, 'Domn')
  const parts = [textOf(domain, 'Cd'), textOf(domain, 'Fmly', 'Cd'), textOf(domain, 'Fmly', 'SubFmlyCd')]
  const known = parts.filter((part) => part !== null)
  return known.length > 0 ? known.join('/') : textOf(code, 'Prtry', 'Cd')
}

/** A detail whose sign waits for its entry's direction, which decides where the detail has none of its own. */
export type PendingDetail = (entryIsCredit: boolean) => LineDetail

/**
 * Reads one TxDtls; done at once where it closes, so that a batch's many details don't stay in memory as XML.
 * @throws StatementError value_invalid
 */
export function readDetail(details: XmlElement): PendingDetail {
  const references = child(details, 'Refs')
  const amountElement = child(details, 'Amt') ?? child(details, 'AmtDtls', 'TxAmt', 'Amt')
  const ownDirection = isCredit(details)
  const magnitude = amountElement === undefined ? null : amountOf(amountElement)
  const currency = amountElement === undefined ? null : currencyOf(amountElement)
  const given = {
    currency,
    endToEndId: textOf(references, 'EndToEndId'),
    uetr: textOf(references, 'UETR'),
    transactionId: textOf(references, 'TxId'),
    instructionId: textOf(references, 'InstrId'),
    mandateId: textOf(references, 'MndtId'),
    bankReference: textOf(references, 'AcctSvcrRef'),
    creditorReference: textOf(details, 'RmtInf', 'Strd', 'CdtrRefInf', 'Ref'),
    remittance: remittanceOf(details),
    returnReason: firstText(details, [
      ['RtrInf', 'Rsn', 'Cd'],
      ['RtrInf', 'Rsn', 'Prtry'],
    ]),
  }
  return (entryIsCredit) => {
    const credit = ownDirection ?? entryIsCredit
    return { amount: signed(magnitude, credit), ...given, ...counterpartyOf(details, credit) }
  }
}

const signed = (magnitude: Decimal | null, credit: boolean): Decimal | null =>
  magnitude === null || credit ? magnitude : negate(magnitude)

function remittanceOf(details: XmlElement): string | null {
  const unstructured = child(details, 'RmtInf')?.children.filter(({ name }) => name === 'Ustrd') ?? []
  const text = unstructured
    .map((element) => element.text.trim())
    .filter((part) => part !== '')
    .join(' ')
  return text || textOf(details, 'AddtlTxInf')
}

/** Who is on the other side: the debtor of what comes in, the creditor of what goes out. */
function counterpartyOf(
  details: XmlElement,
  credit: boolean,
): Pick<LineDetail, 'counterpartyName' | 'counterpartyAccount' | 'counterpartyAgent'> {
  const party = credit ? 'Dbtr' : 'Cdtr'
  const parties = child(details, 'RltdPties')
  const agent = child(details, 'RltdAgts', `${party}Agt`, 'FinInstnId')
  return {
    counterpartyName: firstText(parties, [
      [party, 'Nm'],
      [party, 'Pty', 'Nm'],
      [party, 'Agt', 'FinInstnId', 'Nm'],
    ]),
    counterpartyAccount: firstText(parties, [
      [`${party}Acct`, 'Id', 'IBAN'],
      [`${party}Acct`, 'Id', 'Othr', 'Id'],
    ]),
    counterpartyAgent: firstText(agent, [['BICFI'], ['BIC'], ['ClrSysMmbId', 'MmbId'], ['Nm']]),
  }
}
