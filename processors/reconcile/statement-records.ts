/** Records of the topic `statements` as what a pair takes in. */
import { itemsOfLine } from '#domain/matching/from-statement.ts'
import type { MatchItem } from '#domain/matching/item.ts'
import type { PairSettings } from '#domain/matching/pair.ts'
import { isStorable } from '#domain/reconciliation/commands.ts'
import type { PairStatement } from '#domain/reconciliation/pair-state.ts'
import { parseDecimal } from '#domain/statements/decimal.ts'
import { lineOfValue, type StatementValue } from '#domain/statements/record.ts'

export interface TakenRecord {
  readonly items: readonly MatchItem[]
  readonly statement: PairStatement | null
  /** Why it is nothing to match; null where it is, or is none of this pair's. */
  readonly refusal: string | null
}

const STATEMENT_KEY = /^[0-9a-f]{32}$/

const NOTHING: TakenRecord = { items: [], statement: null, refusal: null }

const refuse = (refusal: string): TakenRecord => ({ ...NOTHING, refusal })

/** A record and where it stands. */
export interface PlacedRecord {
  readonly value: StatementValue
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
}

/** What a record is to a pair. */
export function takeRecord(
  { value, topic, partition, offset }: PlacedRecord,
  settings: PairSettings,
): TakenRecord {
  const account = settings.accounts.get(value.account)
  if (account === undefined) return NOTHING
  if (!settings.takeReports && /^(camt\.05[24]|MT942)/.test(value.format)) return NOTHING
  if (!STATEMENT_KEY.test(value.statementKey)) return refuse('record_invalid')
  if (value.header !== null) return isStorable(value) ? statementOf(value, account) : refuse('record_invalid')
  if (value.line === null) return refuse('record_empty')
  const line = lineOfValue(value.line)
  if (line === null) return refuse('line_invalid')
  const { items, refusal } = itemsOfLine(
    line,
    {
      statementKey: value.statementKey,
      ordinal: value.ordinal,
      account,
      currency: value.currency,
      date: value.date,
      provenance: `${value.file}:${line.line}, SHA-256 ${value.fileHash}, statement ${value.statementKey}, line ${value.ordinal}, ${topic}:${partition}:${offset}`,
    },
    settings.expandLines,
  )
  if (!items.every(isItemStorable)) return refuse('record_invalid')
  return { items, statement: null, refusal: refusal === 'not_booked' ? null : refusal }
}

/** All texts of an item that come from a record. */
const isItemStorable = (item: MatchItem): boolean =>
  isStorable(item.provenance) &&
  isStorable(item.remittance) &&
  isStorable(item.groupKey) &&
  isStorable(item.counterpartyAccount) &&
  isStorable(item.references)

function statementOf({ header, statementKey, currency }: StatementValue, account: string): TakenRecord {
  const { sequence, opening, openingDate, closing, closingDate, proof, controls } = header!
  const openingAmount = opening === null ? null : parseDecimal(opening, '.')
  const closingAmount = closing === null ? null : parseDecimal(closing, '.')
  if ((opening !== null && openingAmount === null) || (closing !== null && closingAmount === null)) {
    return refuse('balance_invalid')
  }
  const statement: PairStatement = {
    key: statementKey,
    account,
    currency,
    sequence,
    opening: openingAmount === null ? null : { amount: openingAmount, date: openingDate },
    closing: closingAmount === null ? null : { amount: closingAmount, date: closingDate },
    proof,
    controls,
  }
  return { items: [], statement, refusal: null }
}
