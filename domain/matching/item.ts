/**
 * What is matched: one movement of money as one side tells it, in a form that is the same for every source. Where it came from
 * (ledger entry, statement line, settlement row) is kept as provenance and decides nothing.
 */

/** For two sources of another kind the first plays the ledger's part and the second the bank's. */
export type Side = 'ledger' | 'bank'

/** References by which payments are known again, normalised by `referenceOf`; null = absent or a placeholder. */
export interface ItemReferences {
  /** ISO 20022 EndToEndId. */
  readonly endToEndId: string | null
  /** ISO 20022 UETR. */
  readonly uetr: string | null
  /** ISO 20022 TxId, or the id in the ledger. */
  readonly transactionId: string | null
  /** Structured creditor reference (ISO 11649 or a national one). */
  readonly creditorReference: string | null
}

export interface MatchItem {
  /** Unique within its pair of sources, and the same whenever the same movement is read again. */
  readonly id: string
  readonly side: Side
  /** The account's name in the pair: the same on both sides. */
  readonly account: string
  /** ISO 4217 code. */
  readonly currency: string
  /** Minor units; what comes into the account is positive, on both sides. */
  readonly amountMinor: bigint
  /** What was instructed, where it was in another currency; null where it wasn't or isn't known. */
  readonly original: { readonly currency: string; readonly amountMinor: bigint } | null
  /** Days since 1970; null = not said. */
  readonly bookingDay: number | null
  readonly valueDay: number | null
  readonly references: ItemReferences
  /** What holds together the parts of a split or bulk payment: a batch id, a settlement id. Normalised; null = nothing does. */
  readonly groupKey: string | null
  /** Normalised account of the other party. */
  readonly counterpartyAccount: string | null
  readonly remittance: string | null
  /** Whether it says of itself that it takes back or returns an earlier movement. */
  readonly isReturn: boolean
  /** Where it came from, for people and the audit: never looked into here. */
  readonly provenance: string
}

export const NO_REFERENCES: ItemReferences = {
  endToEndId: null,
  uetr: null,
  transactionId: null,
  creditorReference: null,
}

/** The day that windows are measured by: value date, else booking date. */
export const dayOf = (item: MatchItem): number | null => item.valueDay ?? item.bookingDay

/**
 * What banks write where there is no reference, normalised. NOTPROVIDED: ISO 20022 SEPA rulebooks (EPC125-05, AT-41 absent);
 * NONREF: SWIFT MT field 20/21/61. The rest is what is found in files.
 */
const PLACEHOLDERS = new Set([
  'NOTPROVIDED',
  'NOTPROVIDE',
  'NOTPROVIDEDBYBANK',
  'NONREF',
  'NOREF',
  'NONE',
  'NULL',
  'UNKNOWN',
  'N/A',
  'NA',
])
/** Shorter ones say too little to tell payments apart. */
const REFERENCE_LENGTH_MIN = 3

/** A reference for comparing: without blanks, in capitals; null where it says nothing (a placeholder, zeros, dashes, too short). */
export function referenceOf(text: string | null | undefined): string | null {
  if (text === null || text === undefined) return null
  const reference = text.replace(/\s+/g, '').toUpperCase()
  if (reference.length < REFERENCE_LENGTH_MIN || PLACEHOLDERS.has(reference)) return null
  return /^[0\-+./*X]*$/.test(reference) ? null : reference
}

/** Characters of a creditor reference: RF, two check digits, 1 to 21 letters and digits (ISO 11649). */
const CREDITOR_REFERENCE = /\bRF\d{2}[A-Z0-9]{1,21}\b/g

/**
 * The one structured creditor reference that a free text holds; null where there is none, or several different ones.
 * ISO 11649: moved to the end, letters as 10 to 35, the number is 1 modulo 97.
 */
export function creditorReferenceIn(text: string | null): string | null {
  if (text === null) return null
  const found = new Set((text.toUpperCase().match(CREDITOR_REFERENCE) ?? []).filter(hasCheckDigits))
  return found.size === 1 ? [...found][0]! : null
}

function hasCheckDigits(reference: string): boolean {
  let rest = 0
  for (const character of reference.slice(4) + reference.slice(0, 4)) {
    const value = Number.parseInt(character, 36)
    rest = (rest * (value > 9 ? 100 : 10) + value) % 97
  }
  return rest === 1
}

const isSameOriginal = (left: MatchItem['original'], right: MatchItem['original']): boolean =>
  left === right ||
  (left !== null &&
    right !== null &&
    left.currency === right.currency &&
    left.amountMinor === right.amountMinor)

/** Whether two items of one id say the same. Provenance may differ: the same movement can be read from two files. */
export const isSameItem = (left: MatchItem, right: MatchItem): boolean =>
  left.id === right.id &&
  left.side === right.side &&
  left.account === right.account &&
  left.currency === right.currency &&
  left.amountMinor === right.amountMinor &&
  isSameOriginal(left.original, right.original) &&
  left.bookingDay === right.bookingDay &&
  left.valueDay === right.valueDay &&
  left.references.endToEndId === right.references.endToEndId &&
  left.references.uetr === right.references.uetr &&
  left.references.transactionId === right.references.transactionId &&
  left.references.creditorReference === right.references.creditorReference &&
  left.groupKey === right.groupKey &&
  left.counterpartyAccount === right.counterpartyAccount &&
  left.remittance === right.remittance &&
  left.isReturn === right.isReturn
