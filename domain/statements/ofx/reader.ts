/**
 * Reads OFX 1.x and 2.x: bank, credit card and investment statements. Source: OFX 2.3 specification, chapters 11 and 13.
 * The ledger balance is the closing one; OFX has no opening balance, so nothing can be proven. An amount that can't be read
 * costs its transaction only and is reported: such files are exports made for people, and what else they hold is good.
 */
import { compactDate } from '../dates.ts'
import { type Decimal, parseDecimal, ZERO } from '../decimal.ts'
import { type LineStatus, NO_DETAIL, type StatementParser, type StatementSink } from '../model.ts'
import { StatementError, type StatementProblem, shown } from '../problems.ts'
import { StatementTally } from '../tally.ts'
import { Markup } from './markup.ts'
import { type Aggregate, OfxTree, pathOf, type TreeEvents } from './tree.ts'

const STATEMENTS: ReadonlySet<string> = new Set(['STMTRS', 'CCSTMTRS', 'INVSTMTRS'])
const ACCOUNTS: ReadonlySet<string> = new Set(['BANKACCTFROM', 'CCACCTFROM', 'INVACCTFROM'])
const TRANSACTIONS: ReadonlySet<string> = new Set(['STMTTRN', 'STMTTRNP'])
const RESPONSES: ReadonlySet<string> = new Set(['STMTTRNRS', 'CCSTMTTRNRS', 'INVSTMTTRNRS'])

interface OpenStatement {
  readonly aggregate: Aggregate
  account: string | null
  tally: StatementTally | null
  transactions: number
}

export class OfxParser implements StatementParser, TreeEvents {
  readonly format = 'OFX'
  readonly #sink: StatementSink
  readonly #tree = new OfxTree(this)
  readonly #markup = new Markup(this.#tree)
  #statement: OpenStatement | null = null
  /** What belongs to the transaction that is open: its counterparty's account and currency. */
  #parts = new Map<string, Aggregate>()

  constructor(sink: StatementSink) {
    this.#sink = sink
  }

  push(text: string): void {
    this.#markup.push(text)
  }

  end(): void {
    this.#markup.end()
    this.#tree.end(this.#markup.line)
  }

  openAggregate(aggregate: Aggregate): void {
    if (STATEMENTS.has(aggregate.name)) {
      this.#statement = { aggregate, account: null, tally: null, transactions: 0 }
    } else if (TRANSACTIONS.has(aggregate.name)) {
      if (this.#statement === null) {
        throw new StatementError(
          'tag_unexpected',
          'expected a transaction in a statement',
          placeOf(aggregate),
        )
      }
      this.#parts = new Map()
    }
  }

  closeAggregate(aggregate: Aggregate): void {
    const { name } = aggregate
    const parent = aggregate.parent?.name ?? ''
    if (name === 'STATUS' && RESPONSES.has(parent)) this.#status(aggregate)
    const statement = this.#statement
    if (statement === null) return
    if (ACCOUNTS.has(name) && STATEMENTS.has(parent)) statement.account = textIn(aggregate, 'ACCTID')
    else if (TRANSACTIONS.has(name)) this.#transaction(statement, aggregate)
    else if (TRANSACTIONS.has(parent)) this.#parts.set(name, aggregate)
    else if (name === 'LEDGERBAL' && STATEMENTS.has(parent)) this.#ledgerBalance(statement, aggregate)
    else if (STATEMENTS.has(name)) {
      this.#tallyOf(statement).end()
      this.#statement = null
    }
  }

  /** An answer without a statement says why. */
  #status(status: Aggregate): void {
    const code = textIn(status, 'CODE')
    if (code === null || code === '0' || textIn(status, 'SEVERITY') !== 'ERROR') return
    const message = `the bank answered with error ${code}: ${textIn(status, 'MESSAGE') ?? 'no message'}`
    this.#sink.warn({ code: 'value_invalid', message, ...placeOf(status) })
  }

  /** Account and currency stand before the transactions and balances. @throws StatementError tag_missing */
  #tallyOf(statement: OpenStatement): StatementTally {
    if (statement.tally !== null) return statement.tally
    const { aggregate, account } = statement
    if (account === null) throw new StatementError('tag_missing', 'expected <ACCTID>', placeOf(aggregate))
    statement.tally = new StatementTally(this.#sink, {
      id: aggregate.parent === null ? null : textIn(aggregate.parent, 'TRNUID'),
      account,
      currency: required(aggregate, 'CURDEF'),
      sequence: null,
    })
    return statement.tally
  }

  #ledgerBalance(statement: OpenStatement, balance: Aggregate): void {
    const tally = this.#tallyOf(statement)
    const amount = this.#amount(balance, 'BALAMT')
    if (amount === null) {
      this.#sink.reject(unreadable(balance, 'BALAMT'))
      return
    }
    const date = textIn(balance, 'DTASOF')
    tally.closing({
      amount,
      currency: textIn(statement.aggregate, 'CURDEF'),
      date: date === null ? null : compactDate(date),
      code: 'LEDGERBAL',
    })
  }

  #transaction(statement: OpenStatement, transaction: Aggregate): void {
    const tally = this.#tallyOf(statement)
    statement.transactions += 1
    const amount = this.#amount(transaction, 'TRNAMT')
    if (amount === null) {
      tally.reject(unreadable(transaction, 'TRNAMT'))
      return
    }
    const status: LineStatus = transaction.name === 'STMTTRNP' ? 'pending' : 'booked'
    const posted = textIn(transaction, 'DTPOSTED') ?? textIn(transaction, 'DTTRAN')
    const available = textIn(transaction, 'DTAVAIL')
    const bookingDate = posted === null ? null : compactDate(posted)
    if (bookingDate === null) {
      const message = `expected a date in <DTPOSTED>, found ${shown(posted ?? '')}`
      this.#sink.warn({ code: 'value_invalid', message, ...placeOf(transaction) })
    }
    const bankReference = textIn(transaction, 'FITID')
    const payee = this.#parts.get('PAYEE')
    const counterparty = this.#parts.get('BANKACCTTO') ?? this.#parts.get('CCACCTTO')
    const name =
      textIn(transaction, 'NAME') ?? textIn(transaction, 'PAYEE') ?? (payee ? textIn(payee, 'NAME') : null)
    const memo = textIn(transaction, 'MEMO')
    tally.line({
      line: transaction.line,
      path: `${pathOf(transaction)}[${statement.transactions}]`,
      status,
      amount,
      currency: this.#currencyOf(statement),
      reversal: false,
      bookingDate,
      valueDate: available === null ? null : compactDate(available),
      bankReference,
      reference: textIn(transaction, 'CHECKNUM') ?? textIn(transaction, 'REFNUM'),
      code: textIn(transaction, 'TRNTYPE'),
      text: [name, memo].filter((part) => part !== null).join('\n') || null,
      details: [
        {
          ...NO_DETAIL,
          bankReference,
          counterpartyName: name,
          counterpartyAccount: counterparty === undefined ? null : textIn(counterparty, 'ACCTID'),
          counterpartyAgent: counterparty === undefined ? null : textIn(counterparty, 'BANKID'),
          remittance: memo,
        },
      ],
    })
  }

  /** CURRENCY: the amount is in that currency; ORIGCURRENCY only tells what it was before the bank converted it. */
  #currencyOf(statement: OpenStatement): string | null {
    const own = this.#parts.get('CURRENCY')
    return (own === undefined ? null : textIn(own, 'CURSYM')) ?? textIn(statement.aggregate, 'CURDEF')
  }

  /** Signed; a comma or a point is the decimal mark. Null where it can't be read. @throws StatementError tag_missing */
  #amount(aggregate: Aggregate, name: string): Decimal | null {
    if (!aggregate.values.has(name)) {
      throw new StatementError('tag_missing', `expected <${name}> in <${aggregate.name}>`, placeOf(aggregate))
    }
    const text = textIn(aggregate, name) ?? ''
    if (text !== '.' && text !== ',') return parseDecimal(text, '.,')
    // What zero suppression (a COBOL picture such as Z(12).ZZ) leaves of a zero.
    this.#sink.warn({
      code: 'value_invalid',
      message: `expected an amount in <${name}>, read a lone mark as zero`,
      ...placeOf(aggregate),
    })
    return ZERO
  }
}

const textIn = (aggregate: Aggregate, name: string): string | null => aggregate.values.get(name)?.text || null

function required(aggregate: Aggregate, name: string): string {
  const value = textIn(aggregate, name)
  if (value !== null) return value
  throw new StatementError('tag_missing', `expected <${name}> in <${aggregate.name}>`, placeOf(aggregate))
}

const placeOf = (aggregate: Aggregate) => ({ line: aggregate.line, path: pathOf(aggregate) })

function unreadable(aggregate: Aggregate, name: string): StatementProblem {
  const found = aggregate.values.get(name)
  return {
    code: 'value_invalid',
    message: `expected an amount in <${name}>, found ${shown(found?.text ?? '')}`,
    line: found?.line ?? aggregate.line,
    path: `${pathOf(aggregate)}/${name}`,
  }
}
