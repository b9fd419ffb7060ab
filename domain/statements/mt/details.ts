/**
 * Field 86 of MT940 and MT942: what an entry is for. Free text by the standard; read where it is structured in one of the
 * ways in common use: ?20 subfields of the German DK ("Verwendungszweck" with EREF+ and the like), and /NAME/ words as the
 * Dutch banks write them. What is in neither form stays text.
 */
import { type LineDetail, NO_DETAIL } from '../model.ts'

/** Subfields ?20–?29 and ?60–?63 hold the remittance text, ?30 bank and ?31 account of the other side, ?32 and ?33 its name. */
const SUBFIELD = /\?(\d{2})/
/** Key words of SEPA data in the remittance text (DK, Anlage 3 of the DFÜ agreement). */
const SEPA_WORDS = /(EREF|KREF|MREF|CRED|DEBT|COAM|OAMT|SVWZ|ABWA|ABWE|IBAN|BIC)\+/
const SLASH_WORDS: ReadonlySet<string> = new Set(
  'TRTP IBAN BIC NAME REMI EREF CSID MARF ORDP BENM TRCD PREF ISDT PURP CNTP ULTD ULTB ID RTRN ACCW ADDR KREF'.split(
    ' ',
  ),
)

/** Reads a line's field 86 into the detail it describes; null where it is free text. */
export function readField86(lines: readonly string[]): LineDetail | null {
  const text = lines.join('')
  if (/^\d{3}\?/.test(text) || text.startsWith('?')) return subfields(text)
  if (/^\/[A-Z]{2,4}\//.test(text)) return slashWords(text)
  return null
}

function subfields(text: string): LineDetail {
  const parts = text.split(SUBFIELD)
  const values = new Map<string, string>()
  for (let at = 1; at < parts.length; at += 2) {
    values.set(parts[at]!, (values.get(parts[at]!) ?? '') + parts[at + 1]!)
  }
  const joined = (from: number, to: number): string =>
    Array.from({ length: to - from + 1 }, (_, index) => values.get(String(from + index)) ?? '').join('')
  const purpose = joined(20, 29) + joined(60, 63)
  const words = sepaWords(purpose)
  return {
    ...NO_DETAIL,
    endToEndId: given(words.get('EREF')),
    mandateId: given(words.get('MREF')),
    instructionId: given(words.get('KREF')),
    counterpartyAgent: given(values.get('30')),
    counterpartyAccount: given(values.get('31')),
    counterpartyName: given(joined(32, 33)),
    remittance: given(words.get('SVWZ') ?? (words.size === 0 ? purpose : undefined)),
  }
}

function sepaWords(text: string): Map<string, string> {
  const parts = text.split(SEPA_WORDS)
  const words = new Map<string, string>()
  for (let at = 1; at < parts.length; at += 2) {
    if (!words.has(parts[at]!)) words.set(parts[at]!, parts[at + 1]!)
  }
  return words
}

function slashWords(text: string): LineDetail {
  const parts = text.split('/').slice(1)
  const values = new Map<string, string[]>()
  let word: string[] = []
  for (const part of parts) {
    if (SLASH_WORDS.has(part) && !values.has(part)) {
      word = []
      values.set(part, word)
    } else word.push(part)
  }
  const value = (name: string) => given(values.get(name)?.join('/').replace(/\/+$/, ''))
  // CNTP holds account, bank, name and city in this order.
  const counterparty = values.get('CNTP') ?? []
  return {
    ...NO_DETAIL,
    endToEndId: value('EREF'),
    mandateId: value('MARF'),
    counterpartyAccount: value('IBAN') ?? given(counterparty[0]),
    counterpartyAgent: value('BIC') ?? given(counterparty[1]),
    counterpartyName: value('NAME') ?? given(counterparty[2]),
    remittance: value('REMI'),
    returnReason: value('RTRN'),
  }
}

/** Without blanks around; NONREF and NOTPROVIDED say that there is nothing. */
function given(text: string | undefined): string | null {
  const trimmed = text?.trim() ?? ''
  return trimmed === '' || trimmed === 'NONREF' || trimmed === 'NOTPROVIDED' ? null : trimmed
}
