/** A small part of an XML document (a balance, an entry) as a tree, and how its values are found and read. */
import { isoDate } from '../dates.ts'
import { type Decimal, parseDecimal } from '../decimal.ts'
import { StatementError, shown } from '../problems.ts'

export type Attributes = Readonly<Record<string, string>>

/** What a streaming XML reader tells. Names are local names; entities are resolved to the five of XML itself, or refused. */
export interface XmlEvents {
  open(name: string, uri: string, attributes: Attributes, line: number): void
  text(text: string): void
  close(): void
}

export interface XmlElement {
  readonly name: string
  readonly attributes: Attributes
  readonly line: number
  /** Place in the document. */
  readonly path: string
  readonly children: XmlElement[]
  text: string
}

/** The first child of that name, or of the names below one another. */
export function child(element: XmlElement | undefined, ...names: readonly string[]): XmlElement | undefined {
  let at = element
  for (const name of names) at = at?.children.find((candidate) => candidate.name === name)
  return at
}

/** Text of the first child found there, without blanks around; null where there is none, or only blanks. */
export const textOf = (element: XmlElement | undefined, ...names: readonly string[]): string | null =>
  child(element, ...names)?.text.trim() || null

/** The same with the first of several places that has a text. */
export function firstText(
  element: XmlElement | undefined,
  places: readonly (readonly string[])[],
): string | null {
  for (const names of places) {
    const text = textOf(element, ...names)
    if (text !== null) return text
  }
  return null
}

/** @throws StatementError tag_missing */
export function required(element: XmlElement, name: string): XmlElement {
  const found = child(element, name)
  if (found !== undefined) return found
  throw new StatementError('tag_missing', `expected <${name}> in <${element.name}>`, {
    line: element.line,
    path: element.path,
  })
}

/** An element's own text where it must have one. @throws StatementError tag_missing */
export function requiredText(element: XmlElement, name: string): string {
  const found = required(element, name)
  const text = found.text.trim()
  if (text !== '') return text
  throw new StatementError('tag_missing', `expected a text in <${name}>`, {
    line: found.line,
    path: found.path,
  })
}

/** An amount, never negative: the direction stands in CdtDbtInd. @throws StatementError value_invalid */
export function amountOf(element: XmlElement): Decimal {
  const text = element.text.trim()
  const amount = parseDecimal(text, '.')
  if (amount !== null && amount.digits >= 0n && !text.startsWith('-')) return amount
  throw invalid(element, 'an amount such as 1234.56')
}

/** Currency of an amount. @throws StatementError tag_missing, value_invalid */
export function currencyOf(element: XmlElement): string {
  const currency = element.attributes.Ccy?.trim()
  if (currency === undefined) {
    throw new StatementError('tag_missing', `expected the attribute Ccy in <${element.name}>`, {
      line: element.line,
      path: element.path,
    })
  }
  if (/^[A-Z]{3}$/.test(currency)) return currency
  throw new StatementError('value_invalid', `expected a currency code, found ${shown(currency)}`, {
    line: element.line,
    path: element.path,
  })
}

/** The choice Dt or DtTm as yyyy-mm-dd; null where neither is there. @throws StatementError value_invalid */
export function dateOf(element: XmlElement | undefined): string | null {
  const chosen = child(element, 'Dt') ?? child(element, 'DtTm')
  if (chosen === undefined) return null
  const date = isoDate(chosen.text.trim())
  if (date !== null) return date
  throw invalid(chosen, 'a date such as 2026-01-31')
}

/** True for CRDT, false for DBIT, null where the element isn't there. @throws StatementError value_invalid */
export function isCredit(element: XmlElement): boolean | null {
  const indicator = child(element, 'CdtDbtInd')
  if (indicator === undefined) return null
  const text = indicator.text.trim()
  if (text === 'CRDT' || text === 'DBIT') return text === 'CRDT'
  throw invalid(indicator, 'CRDT or DBIT')
}

export const invalid = (element: XmlElement, expected: string): StatementError =>
  new StatementError(
    'value_invalid',
    `expected ${expected} in <${element.name}>, found ${shown(element.text.trim())}`,
    {
      line: element.line,
      path: element.path,
    },
  )
