/**
 * Reads MT940 (customer statement) and MT942 (interim transaction report). Source: SWIFT Standards MT, category 9. Each
 * message is a statement of its own: a statement of several pages is several messages, tied by the intermediate balances
 * :60M: and :62M:. The mark RC is the reversal of a credit: money goes out.
 */
import { shortDate } from '../dates.ts'
import { type Decimal, isEqual, negate, parseDecimal } from '../decimal.ts'
import type { Balance, LineDetail, StatementLine, StatementParser, StatementSink } from '../model.ts'
import { StatementError, type StatementProblemCode, shown } from '../problems.ts'
import { StatementTally } from '../tally.ts'
import { TextLines } from '../text-lines.ts'
import { readField86 } from './details.ts'
import { type Field, type FieldEvents, MtFields } from './fields.ts'
import { type Field61, readField61 } from './statement-line.ts'

type Message = 'MT940' | 'MT942'

/** The message that is open. */
interface OpenMessage {
  readonly line: number
  readonly fields: Map<string, string>
  kind: Message | null
  opening: Balance | null
  closing: Balance | null
  currency: string | null
  tally: StatementTally | null
  /** The entry whose field 86 may still come. */
  entry: { field: Field61; line: number; text: string[] } | null
  /** Whether the fields after the entries have begun. */
  closed: boolean
}

export class MtParser implements StatementParser, FieldEvents {
  readonly #sink: StatementSink
  readonly #fields = new MtFields(this)
  readonly #lines = new TextLines((text, line) => {
    this.#line = line
    this.#fields.line(text, line)
  })
  #line = 0
  #format: Message | null = null
  #messages = 0
  /** Whether what ends the message that is open is the end of the file. */
  #isAtEnd = false
  #message: OpenMessage | null = null

  constructor(sink: StatementSink) {
    this.#sink = sink
  }

  get format(): string {
    return this.#format ?? 'MT940'
  }

  push(text: string): void {
    this.#lines.push(text)
  }

  end(): void {
    this.#lines.end()
    this.#isAtEnd = true
    this.#fields.end(this.#line)
    if (this.#messages === 0)
      throw new StatementError('format_unknown', 'expected a message that begins with :20:')
  }

  message(type: string | null, line: number): void {
    if (type !== null && type !== '940' && type !== '942') {
      throw new StatementError('format_unknown', `expected MT940 or MT942, found MT${type}`, { line })
    }
    this.#messages += 1
    const kind = type === '940' ? 'MT940' : type === '942' ? 'MT942' : null
    this.#message = {
      line,
      fields: new Map(),
      kind,
      opening: null,
      closing: null,
      currency: null,
      tally: null,
      entry: null,
      closed: false,
    }
  }

  field(field: Field): void {
    const message = this.#message!
    const text = field.lines[0]!.trim()
    switch (field.tag) {
      case '61':
        this.#entry(message, field)
        break
      case '86':
      case 'NS':
        // After the closing balance it speaks of the statement, not of an entry.
        if (!message.closed) message.entry?.text.push(...field.lines)
        break
      case '60F':
      case '60M':
        this.#opening(message, field)
        break
      case '62F':
      case '62M':
        this.#closing(message, field)
        break
      case '34F':
        this.#floorLimit(message, field)
        break
      case '90C':
      case '90D':
        this.#total(message, field)
        break
      case '64':
      case '65':
        this.#endEntries(message)
        break
      default:
        // 28 and 28C, 25 and 25P are the same field in two versions of the standard.
        message.fields.set(field.tag.slice(0, 2), text)
    }
  }

  messageEnd(): void {
    const message = this.#message!
    this.#endEntries(message)
    const tally = this.#tallyOf(message)
    if (message.closing !== null) tally.closing(message.closing)
    const kind = message.kind ?? 'MT940'
    this.#format ??= kind
    const wanted = kind === 'MT940' ? ['60F', '62F'] : ['34F']
    for (const tag of ['25', '28', ...wanted]) {
      if (!isPresent(message, tag))
        this.#warn('tag_missing', `expected :${tag === '28' ? '28C' : tag}:`, message.line)
    }
    if (this.#isAtEnd && message.opening !== null && message.closing === null) {
      this.#warn(
        'truncated',
        'the file ends without closing balance and end of message: it may be cut short',
        this.#line,
      )
    }
    tally.end()
    this.#message = null
  }

  #entry(message: OpenMessage, field: Field): void {
    if (message.closed) throw fail('tag_unexpected', 'expected :61: before the closing balance', field)
    if (message.opening === null && !message.fields.has('34')) {
      throw fail('tag_missing', 'expected :60F:, :60M: or :34F: before the first :61:', field)
    }
    this.#endEntry(message)
    const read = readField61(field.lines, field.line)
    if (read.dateAdjusted)
      this.#warn('value_invalid', `expected a day of the calendar, took ${read.valueDate}`, field.line)
    message.entry = { field: read, line: field.line, text: [] }
  }

  #opening(message: OpenMessage, field: Field): void {
    if (message.opening !== null || message.tally !== null)
      throw fail('tag_unexpected', 'expected one opening balance', field)
    this.#decide(message, 'MT940', field)
    message.opening = this.#balance(field)
  }

  #closing(message: OpenMessage, field: Field): void {
    this.#endEntries(message)
    if (message.opening === null)
      throw fail('tag_missing', 'expected :60F: or :60M: before the closing balance', field)
    message.closing = this.#balance(field)
  }

  #balance(field: Field): Balance {
    const balance = readBalance(field)
    if (balance.date === null)
      this.#warn('value_invalid', `expected a day of the calendar in :${field.tag}:`, field.line)
    return balance
  }

  /** 34F: currency and, where debits and credits differ, the mark of the smallest amount that is reported. */
  #floorLimit(message: OpenMessage, field: Field): void {
    this.#decide(message, 'MT942', field)
    const match = /^([A-Z]{3})([CD])?(\d*(?:,\d*)?)$/.exec(field.lines[0]!.trim())
    if (match === null)
      throw fail('value_invalid', `expected a floor limit, found ${shown(field.lines[0]!)}`, field)
    message.fields.set('34', match[3]!)
    message.currency = match[1]!
  }

  /** 90C, 90D: number and sum of the entries on one side. */
  #total(message: OpenMessage, field: Field): void {
    this.#endEntries(message)
    this.#decide(message, 'MT942', field)
    const match = /^(\d{1,5})([A-Z]{3})(\d*(?:,\d*)?)$/.exec(field.lines[0]!.trim())
    const sum = match === null ? null : parseDecimal(match[3]!, ',')
    if (sum === null)
      throw fail('value_invalid', `expected number, currency and sum, found ${shown(field.lines[0]!)}`, field)
    const tally = this.#tallyOf(message)
    tally.control(isEqual(sum, field.tag === '90C' ? tally.sumCredits : tally.sumDebits))
  }

  /** A field that only one of the two messages has says which it is, where no header does. */
  #decide(message: OpenMessage, kind: Message, field: Field): void {
    if (message.kind !== null && message.kind !== kind) {
      throw fail('tag_unexpected', `expected no :${field.tag}: in ${message.kind}`, field)
    }
    message.kind = kind
  }

  #tallyOf(message: OpenMessage): StatementTally {
    if (message.tally !== null) return message.tally
    const { fields, opening } = message
    message.tally = new StatementTally(this.#sink, {
      id: fields.get('20') || null,
      account: fields.get('25') || null,
      currency: opening?.currency ?? message.currency,
      sequence: fields.get('28') || null,
    })
    if (opening !== null) message.tally.opening(opening)
    return message.tally
  }

  #endEntries(message: OpenMessage): void {
    this.#endEntry(message)
    message.closed = true
  }

  #endEntry(message: OpenMessage): void {
    const { entry } = message
    message.entry = null
    if (entry !== null) {
      const tally = this.#tallyOf(message)
      tally.line(lineOf(entry, message.opening?.currency ?? message.currency))
    }
  }

  #warn(code: StatementProblemCode, message: string, line: number): void {
    this.#sink.warn({ code, message, line })
  }
}

function isPresent(message: OpenMessage, tag: string): boolean {
  if (tag === '60F') return message.opening !== null
  if (tag === '62F') return message.closing !== null
  return message.fields.has(tag.slice(0, 2))
}

function lineOf(
  { field, line, text }: { field: Field61; line: number; text: readonly string[] },
  currency: string | null,
): StatementLine {
  const detail: LineDetail | null = readField86(text)
  const { supplementary, dateAdjusted: _adjusted, ...read } = field
  const words = [...(supplementary === null ? [] : [supplementary]), ...text]
  return {
    ...read,
    line,
    path: ':61:',
    currency,
    text: words.join('\n').trim() || null,
    details: detail === null ? [] : [detail],
  }
}

/** 1!a6!n3!a15d: mark, date (null where the calendar has no such day), currency, amount. @throws StatementError value_invalid */
function readBalance(field: Field): Balance {
  const text = field.lines[0]!.trim()
  const match = /^([CD])(\d{6})([A-Z]{3})(\d*(?:,\d*)?)$/.exec(text)
  const amount: Decimal | null = match === null ? null : parseDecimal(match[4]!, ',')
  if (match === null || amount === null) {
    throw fail('value_invalid', `expected mark, date, currency and amount, found ${shown(text)}`, field)
  }
  return {
    amount: match[1] === 'D' ? negate(amount) : amount,
    currency: match[3]!,
    date: shortDate(match[2]!),
    code: field.tag,
  }
}

const fail = (code: StatementProblemCode, message: string, field: Field): StatementError =>
  new StatementError(code, message, { line: field.line, path: `:${field.tag}:` })
