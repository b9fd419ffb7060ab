/**
 * Reads BAI2: file (01, 99), groups (02, 98), accounts (03, 49), transactions (16). Source: BAI "Cash Management Balance
 * Reporting Specifications", version 2. Amounts have no decimal point: the currency says where it is. The control totals of
 * 49, 98 and 99 and their record counts are compared with what was read.
 */
import { currencyByCode } from '../../money/currency.ts'
import { shortDate } from '../dates.ts'
import { type Decimal, fromMinor, negate } from '../decimal.ts'
import { type LineStatus, NO_DETAIL, type StatementParser, type StatementSink } from '../model.ts'
import { StatementError, type StatementProblemCode, shown } from '../problems.ts'
import { StatementTally } from '../tally.ts'
import { TextLines } from '../text-lines.ts'
import { type Bai2Record, Bai2Records, type FieldCursor } from './records.ts'
import { CLOSING_LEDGER, isCreditCode, OPENING_LEDGER } from './type-codes.ts'

/** Where a group names no currency. */
const CURRENCY_DEFAULT = 'USD'
/** Group status 1: these data replace nothing and count. Deletions, corrections of deleted data and tests book nothing. */
const STATUS_UPDATE = '1'
const STATUS_CORRECTION = '3'
const EXPONENT_DEFAULT = 2

/** Running totals of an account, a group and the file. */
interface Totals {
  /** Minor units as written, signs included; currencies aren't told apart. */
  control: bigint
  records: number
  members: number
}

interface OpenGroup extends Totals {
  readonly currency: string
  readonly date: string | null
  readonly status: LineStatus
}

interface OpenAccount extends Totals {
  readonly tally: StatementTally
  readonly currency: string
  readonly exponent: number
}

export class Bai2Parser implements StatementParser {
  readonly format = 'BAI2'
  readonly #sink: StatementSink
  readonly #records = new Bai2Records((record) => this.#record(record))
  readonly #lines = new TextLines((text, line) => {
    this.#line = line
    this.#records.line(text, line)
  })
  #line = 0
  #file: Totals | null = null
  #isOver = false
  #group: OpenGroup | null = null
  #account: OpenAccount | null = null

  constructor(sink: StatementSink) {
    this.#sink = sink
  }

  push(text: string): void {
    this.#lines.push(text)
  }

  end(): void {
    this.#lines.end()
    this.#records.flush()
    if (!this.#isOver) {
      throw new StatementError('truncated', 'expected the file trailer 99', { line: this.#line, path: '99' })
    }
  }

  #record(record: Bai2Record): void {
    if (this.#isOver) throw fail('tag_unexpected', `expected nothing after 99, found ${record.code}`, record)
    if (this.#file === null && record.code !== '01')
      throw fail('tag_missing', `expected 01 before ${record.code}`, record)
    for (const totals of [this.#file, this.#group, this.#account]) {
      if (totals !== null) totals.records += record.physical
    }
    switch (record.code) {
      case '01':
        this.#fileHeader(record)
        break
      case '02':
        this.#groupHeader(record)
        break
      case '03':
        this.#accountHeader(record)
        break
      case '16':
        this.#transaction(record)
        break
      case '49':
        this.#accountTrailer(record)
        break
      case '98':
        this.#groupTrailer(record)
        break
      case '99':
        this.#fileTrailer(record)
        break
      default:
        throw fail(
          'tag_unexpected',
          `expected 01, 02, 03, 16, 49, 88, 98 or 99, found ${record.code}`,
          record,
        )
    }
  }

  #fileHeader(record: Bai2Record): void {
    if (this.#file !== null) throw fail('tag_unexpected', 'expected one 01', record)
    this.#file = { control: 0n, records: record.physical, members: 0 }
    // Sender, receiver, date, time, id, record length, block size, version.
    const fields = Array.from({ length: 8 }, () => record.fields.next())
    if (fields[7] !== '2')
      throw fail('version_unsupported', `expected version 2, found ${shown(fields[7]!)}`, record)
  }

  #groupHeader(record: Bai2Record): void {
    if (this.#group !== null) throw fail('tag_missing', 'expected 98 before the next 02', record)
    const { fields } = record
    fields.next()
    if (fields.next() === '') this.#warn('tag_missing', 'expected an originator', record)
    const status = fields.next()
    const date = fields.next()
    fields.next()
    const booked = status === STATUS_UPDATE || status === STATUS_CORRECTION
    if (!/^[1-4]$/.test(status))
      throw fail('value_invalid', `expected group status 1 to 4, found ${shown(status)}`, record)
    if (!booked)
      this.#warn('value_invalid', `group of status ${status} (deletion or test) books nothing`, record)
    this.#group = {
      currency: fields.next() || CURRENCY_DEFAULT,
      date: shortDate(date),
      status: booked ? 'booked' : 'information',
      control: 0n,
      records: record.physical,
      members: 0,
    }
    if (this.#group.date === null)
      throw fail('value_invalid', `expected a date YYMMDD, found ${shown(date)}`, record)
  }

  #accountHeader(record: Bai2Record): void {
    const group = this.#group
    if (group === null) throw fail('tag_missing', 'expected 02 before 03', record)
    if (this.#account !== null) throw fail('tag_missing', 'expected 49 before the next 03', record)
    const { fields } = record
    const account = fields.next()
    if (account === '') throw fail('tag_missing', 'expected an account number', record)
    const currency = fields.next() || group.currency
    const tally = new StatementTally(this.#sink, { id: null, account, currency, sequence: null })
    const exponent = currencyByCode(currency)?.exponent ?? EXPONENT_DEFAULT
    this.#account = { tally, currency, exponent, control: 0n, records: record.physical, members: 0 }
    this.#summaries(record, this.#account, group)
  }

  /** Balances and sums: type code, amount, item count, funds type, again and again. */
  #summaries(record: Bai2Record, account: OpenAccount, group: OpenGroup): void {
    const { fields } = record
    while (!fields.isAtEnd) {
      const code = fields.next()
      const text = fields.next()
      fields.next()
      skipFunds(fields, record)
      if (code === '' && text !== '')
        throw fail('tag_missing', 'expected a type code before an amount', record)
      if (code === '' || text === '') continue
      const minor = minorOf(text, record)
      account.control += minor
      const amount = fromMinor(minor, account.exponent)
      const balance = { amount, currency: account.currency, date: group.date, code }
      if (code === OPENING_LEDGER) account.tally.opening(balance)
      if (code === CLOSING_LEDGER) account.tally.closing(balance)
    }
  }

  #transaction(record: Bai2Record): void {
    const account = this.#account
    const group = this.#group
    if (account === null || group === null) throw fail('tag_missing', 'expected 03 before 16', record)
    const { fields } = record
    const code = fields.next()
    const text = fields.next()
    const minor = text === '' ? 0n : minorOf(text, record)
    account.control += minor
    const valueDate = skipFunds(fields, record)
    const bankReference = fields.next() || null
    const reference = fields.next() || null
    const credit = isCreditCode(code)
    if (!/^\d{3}$/.test(code))
      throw fail('value_invalid', `expected a type code, found ${shown(code)}`, record)
    const magnitude: Decimal = fromMinor(minor, account.exponent)
    const remittance = fields.rest() || null
    account.tally.line({
      line: record.line,
      path: '16',
      status: credit === null ? 'information' : group.status,
      amount: credit === false ? negate(magnitude) : magnitude,
      currency: account.currency,
      reversal: false,
      bookingDate: group.date,
      valueDate: valueDate ?? group.date,
      bankReference,
      reference,
      code,
      text: remittance,
      details: remittance === null ? [] : [{ ...NO_DETAIL, bankReference, remittance }],
    })
  }

  #accountTrailer(record: Bai2Record): void {
    const account = this.#account
    const group = this.#group
    if (account === null || group === null) throw fail('tag_missing', 'expected 03 before 49', record)
    this.#check(record, account, account.tally, false)
    account.tally.end()
    group.control += account.control
    group.members += 1
    this.#account = null
  }

  #groupTrailer(record: Bai2Record): void {
    const group = this.#group
    const file = this.#file
    if (this.#account !== null) throw fail('tag_missing', 'expected 49 before 98', record)
    if (group === null || file === null) throw fail('tag_missing', 'expected 02 before 98', record)
    this.#check(record, group, null, true)
    file.control += group.control
    file.members += 1
    this.#group = null
  }

  #fileTrailer(record: Bai2Record): void {
    if (this.#group !== null) throw fail('tag_missing', 'expected 98 before 99', record)
    this.#check(record, this.#file!, null, true)
    this.#isOver = true
  }

  /** Control total, number of members (98, 99), number of records. A statement's own total is its control; others are warned of. */
  #check(record: Bai2Record, totals: Totals, tally: StatementTally | null, hasMembers: boolean): void {
    const { fields } = record
    const declared = minorOf(fields.next(), record)
    const members = hasMembers ? fields.next() : String(totals.members)
    const records = fields.next()
    const agrees =
      declared === totals.control && sameCount(members, totals.members) && sameCount(records, totals.records)
    tally?.control(agrees)
    if (agrees) return
    const found = `total ${totals.control}, ${totals.members} members, ${totals.records} records`
    this.#warn(
      'value_invalid',
      `expected what was read: ${found}; found total ${declared}, ${members}, ${records}`,
      record,
    )
  }

  #warn(code: StatementProblemCode, message: string, record: Bai2Record): void {
    this.#sink.warn({ code, message, line: record.line, path: record.code })
  }
}

const sameCount = (text: string, count: number): boolean =>
  text === '' || (/^\d+$/.test(text) && Number(text) === count)

function minorOf(text: string, record: Bai2Record): bigint {
  if (!/^[+-]?\d{1,40}$/.test(text))
    throw fail('value_invalid', `expected an amount without decimal point, found ${shown(text)}`, record)
  return BigInt(text.replace('+', ''))
}

/** Passes over the funds type with what belongs to it; the value date where it has one. */
function skipFunds(fields: FieldCursor, record: Bai2Record): string | null {
  const type = fields.next().toUpperCase()
  if (type === 'S') {
    for (let index = 0; index < 3; index += 1) fields.next()
  } else if (type === 'V') {
    const date = shortDate(fields.next())
    fields.next()
    return date
  } else if (type === 'D') {
    const text = fields.next()
    if (!/^\d{1,3}$/.test(text))
      throw fail('value_invalid', `expected a number of distributions, found ${shown(text)}`, record)
    for (let index = 0; index < 2 * Number(text); index += 1) fields.next()
  } else if (!/^[012Z]?$/.test(type)) {
    throw fail('value_invalid', `expected a funds type (0, 1, 2, S, V, D, Z), found ${shown(type)}`, record)
  }
  return null
}

const fail = (code: StatementProblemCode, message: string, record: Bai2Record): StatementError =>
  new StatementError(code, message, { line: record.line, path: record.code })
