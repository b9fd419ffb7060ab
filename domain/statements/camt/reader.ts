/**
 * Reads camt.052, 053 and 054 from XML events: one entry in memory at a time. Source: ISO 20022 message definition reports,
 * versions 02 to 14, with or without namespace, alone or in an envelope (a business message with its header).
 */
import { isEqual, parseDecimal } from '../decimal.ts'
import type { Balance, StatementSink } from '../model.ts'
import { StatementError, type StatementProblemCode, shown } from '../problems.ts'
import { StatementTally } from '../tally.ts'
import { chooseBalances, readBalance } from './balances.ts'
import {
  type Attributes,
  child,
  firstText,
  requiredText,
  textOf,
  type XmlElement,
  type XmlEvents,
} from './element.ts'
import { type PendingDetail, readDetail, readEntry } from './entry.ts'

type Message = '052' | '053' | '054'

interface MessageKind {
  readonly message: Message
  readonly statement: string
}

/** Root of the message below Document, and the element of one account's statement in it. */
const MESSAGES: ReadonlyMap<string, MessageKind> = new Map([
  ['BkToCstmrAcctRpt', { message: '052', statement: 'Rpt' }],
  ['BkToCstmrStmt', { message: '053', statement: 'Stmt' }],
  ['BkToCstmrDbtCdtNtfctn', { message: '054', statement: 'Ntfctn' }],
])
const VERSION_MIN = 2
const VERSION_MAX = 14
/** Parts of a statement that are read; everything else is passed over. */
const PARTS: ReadonlySet<string> = new Set([
  'Id',
  'ElctrncSeqNb',
  'LglSeqNb',
  'StmtPgntn',
  'RptPgntn',
  'NtfctnPgntn',
  'Acct',
  'Bal',
  'TxsSummry',
  'Ntry',
])
/** Parts that a statement has once, in this order, before its entries. */
const BEFORE_ENTRIES: ReadonlySet<string> = new Set(['Id', 'Acct', 'Bal', 'TxsSummry'])
/** Details of one entry, and elements of one part, that are held in memory. */
const DETAILS_MAX = 100_000
const ELEMENTS_MAX = 200_000

/** What is known of the statement that is open. */
interface OpenStatement {
  readonly path: string
  readonly line: number
  readonly parts: Map<string, XmlElement>
  readonly balances: Balance[]
  tally: StatementTally | null
  entries: number
}

export class CamtReader implements XmlEvents {
  readonly #sink: StatementSink
  /** Local names of the open elements outside of any part. */
  readonly #open: string[] = []
  /** Depth of Document; 0 = not met. */
  #documentDepth = 0
  /** Namespace of the documents: an envelope may hold several, of one kind. */
  #uri: string | null = null
  #version: string | null = null
  #message: MessageKind | null = null
  #hasHeader = false
  #statements = 0
  #statement: OpenStatement | null = null
  /** The part being read: its element and those open below it. */
  #part: XmlElement[] = []
  #partElements = 0
  #details: PendingDetail[] = []

  constructor(sink: StatementSink) {
    this.#sink = sink
  }

  /** `camt.053.001.08`; without the version where the document has no namespace. */
  get format(): string {
    const message = this.#message === null ? 'camt' : `camt.${this.#message.message}`
    return this.#version === null ? message : `${message}.001.${this.#version}`
  }

  open(name: string, uri: string, attributes: Attributes, line: number): void {
    if (this.#part.length > 0) {
      this.#openInPart(name, attributes, line)
      return
    }
    this.#open.push(name)
    const depth = this.#open.length
    if (this.#documentDepth === 0 || depth === this.#documentDepth) {
      if (name === 'Document') this.#openDocument(depth, uri, line)
    } else if (depth === this.#documentDepth + 1) this.#openMessage(name, line)
    else if (depth === this.#documentDepth + 2) this.#openMember(name, line)
    else if (depth === this.#documentDepth + 3 && this.#statement !== null && PARTS.has(name)) {
      // The element belongs to the part from here on.
      this.#open.pop()
      this.#openPart(this.#statement, name, attributes, line)
    }
  }

  text(text: string): void {
    const element = this.#part.at(-1)
    if (element !== undefined) element.text += text
  }

  close(): void {
    const element = this.#part.pop()
    if (element !== undefined) this.#closeInPart(element)
    else {
      if (this.#statement !== null && this.#open.length === this.#documentDepth + 2) this.#closeStatement()
      this.#open.pop()
    }
  }

  /** Call after the last event. @throws StatementError where a mandatory part never came */
  end(): void {
    if (this.#documentDepth === 0)
      throw new StatementError('format_unknown', 'expected a <Document> of ISO 20022')
    if (this.#message === null)
      this.#missing('BkToCstmrStmt, BkToCstmrAcctRpt or BkToCstmrDbtCdtNtfctn', '/Document')
    const path = `/Document/${this.#open[0] ?? ''}`
    if (!this.#hasHeader) this.#missing('GrpHdr', path)
    if (this.#statements === 0) this.#missing(this.#message?.statement ?? 'Stmt', path)
  }

  #openDocument(depth: number, uri: string, line: number): void {
    if (this.#uri !== null && uri !== this.#uri) {
      throw fail('tag_unexpected', `expected documents of one kind, found ${shown(uri)}`, line)
    }
    this.#uri = uri
    this.#documentDepth = depth
    if (uri === '') return
    const match = /camt\.05([234])\.001\.(\d\d)/.exec(uri)
    if (match === null)
      throw fail('format_unknown', `expected a camt.052, 053 or 054 namespace, found ${shown(uri)}`, line)
    const version = Number(match[2])
    if (version < VERSION_MIN || version > VERSION_MAX) {
      throw fail('version_unsupported', `expected version 02 to ${VERSION_MAX}, found ${match[0]}`, line)
    }
    this.#version = match[2]!
    this.#message = [...MESSAGES.values()].find(({ message }) => message === `05${match[1]}`)!
  }

  #openMessage(name: string, line: number): void {
    const found = MESSAGES.get(name)
    if (found === undefined)
      throw fail('tag_unexpected', `expected ${[...MESSAGES.keys()].join(', ')}, found <${name}>`, line)
    if (this.#message !== null && this.#message !== found) {
      throw fail(
        'tag_unexpected',
        `expected the message of camt.${this.#message.message}, found <${name}>`,
        line,
      )
    }
    this.#message = found
  }

  #openMember(name: string, line: number): void {
    if (name === 'GrpHdr') this.#hasHeader = true
    if (name === 'SplmtryData' || name === 'GrpHdr') return
    if (name !== this.#message?.statement) {
      throw fail('tag_unexpected', `expected <${this.#message?.statement}>, found <${name}>`, line)
    }
    this.#statements += 1
    const path = `/${this.#open.slice(this.#documentDepth - 1).join('/')}[${this.#statements}]`
    this.#statement = { path, line, parts: new Map(), balances: [], tally: null, entries: 0 }
  }

  #openPart(statement: OpenStatement, name: string, attributes: Attributes, line: number): void {
    let path = `${statement.path}/${name}`
    if (BEFORE_ENTRIES.has(name) && statement.entries > 0) {
      throw fail('tag_unexpected', `expected <${name}> before the entries`, line, path)
    }
    if (name === 'Ntry') {
      statement.entries += 1
      path += `[${statement.entries}]`
    } else if (name === 'Bal') path += `[${statement.balances.length + 1}]`
    this.#part.push({ name, attributes, line, path, children: [], text: '' })
    this.#partElements = 0
    this.#details = []
  }

  #openInPart(name: string, attributes: Attributes, line: number): void {
    const parent = this.#part.at(-1)!
    this.#partElements += 1
    if (this.#partElements > ELEMENTS_MAX) {
      throw fail(
        'statement_too_large',
        `expected at most ${ELEMENTS_MAX} elements`,
        line,
        this.#part[0]!.path,
      )
    }
    const path =
      name === 'TxDtls' ? `${parent.path}/${name}[${this.#details.length + 1}]` : `${parent.path}/${name}`
    this.#part.push({ name, attributes, line, path, children: [], text: '' })
  }

  #closeInPart(element: XmlElement): void {
    const parent = this.#part.at(-1)
    if (parent === undefined) this.#takePart(this.#statement!, element)
    else if (element.name === 'TxDtls' && parent.name === 'NtryDtls') {
      if (this.#details.length >= DETAILS_MAX) {
        throw fail(
          'statement_too_large',
          `expected at most ${DETAILS_MAX} details an entry`,
          element.line,
          element.path,
        )
      }
      this.#details.push(readDetail(element))
      this.#partElements = 0
    } else parent.children.push(element)
  }

  #takePart(statement: OpenStatement, element: XmlElement): void {
    if (element.name === 'Ntry') {
      const line = readEntry(element, this.#details)
      this.#tallyOf(statement, line.currency).line(line)
      this.#details = []
    } else if (element.name === 'Bal') this.#takeBalance(statement, element)
    else if (!statement.parts.has(element.name)) statement.parts.set(element.name, element)
    else throw fail('tag_unexpected', `expected <${element.name}> once`, element.line, element.path)
  }

  #takeBalance(statement: OpenStatement, element: XmlElement): void {
    const read = readBalance(element)
    if (read === null) return
    statement.balances.push(read.balance)
    if (!read.signMissing) return
    const message = 'expected <CdtDbtInd> in <Bal>; read as a credit balance'
    this.#sink.warn({ code: 'tag_missing', message, line: element.line, path: element.path })
  }

  /** Begins the statement towards the sink: all that its header needs stands before the entries. */
  #tallyOf(statement: OpenStatement, entryCurrency: string | null): StatementTally {
    if (statement.tally !== null) return statement.tally
    const account = statement.parts.get('Acct')
    if (account === undefined) this.#missing('Acct', statement.path, statement.line)
    const { opening, closing } = chooseBalances(statement.balances, this.#message!.message)
    const id = statement.parts.get('Id')
    if (id === undefined || id.text.trim() === '') this.#missing('Id', statement.path, statement.line)
    const currency = textOf(account, 'Ccy') ?? opening?.currency ?? closing?.currency ?? entryCurrency
    statement.tally = new StatementTally(this.#sink, {
      id: id!.text.trim(),
      account: accountId(account!),
      currency,
      sequence: sequenceOf(statement.parts),
    })
    if (opening !== null) statement.tally.opening(opening)
    if (closing !== null) statement.tally.closing(closing)
    return statement.tally
  }

  #closeStatement(): void {
    const statement = this.#statement!
    const tally = this.#tallyOf(statement, null)
    const summary = statement.parts.get('TxsSummry')
    if (summary !== undefined) checkSummary(summary, tally)
    tally.end()
    this.#statement = null
  }

  #missing(name: string, path: string, line?: number): never {
    throw fail('tag_missing', `expected <${name}>`, line, path)
  }
}

function fail(code: StatementProblemCode, message: string, line?: number, path?: string): StatementError {
  return new StatementError(code, message, {
    ...(line === undefined ? {} : { line }),
    ...(path === undefined ? {} : { path }),
  })
}

/** IBAN, another identification, or the proxy under which later versions know it. @throws StatementError tag_missing */
function accountId(account: XmlElement): string {
  const id = firstText(account, [
    ['Id', 'IBAN'],
    ['Id', 'Othr', 'Id'],
    ['Prxy', 'Id'],
  ])
  return id ?? requiredText(account, 'Id')
}

function sequenceOf(parts: ReadonlyMap<string, XmlElement>): string | null {
  const number = (parts.get('ElctrncSeqNb') ?? parts.get('LglSeqNb'))?.text.trim() ?? ''
  const pages = parts.get('StmtPgntn') ?? parts.get('RptPgntn') ?? parts.get('NtfctnPgntn')
  const page = textOf(pages, 'PgNb')
  if (number === '') return null
  return page === null ? number : `${number}/${page}`
}

/** Totals that the statement declares of its credits and debits, where it does, against the booked entries. */
function checkSummary(summary: XmlElement, tally: StatementTally): void {
  const sides = [
    ['TtlCdtNtries', tally.sumCredits],
    ['TtlDbtNtries', tally.sumDebits],
  ] as const
  for (const [name, sum] of sides) {
    const declared = textOf(child(summary, name), 'Sum')
    if (declared === null) continue
    const amount = parseDecimal(declared, '.')
    tally.control(amount !== null && isEqual(amount, sum))
  }
}
