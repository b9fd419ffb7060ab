/**
 * Finds OFX aggregates in a stream of tags whose values may lack closing tags. An element with a text is a value and ends at
 * the next tag; an element of the known aggregates ends at its closing tag, which must be there; an unknown one without text
 * is passed over, and its values count to the aggregate around it.
 */
import { StatementError } from '../problems.ts'
import type { MarkupEvents } from './markup.ts'

/** Aggregates on the way to statements and inside them. Source: OFX 2.3 specification, chapters 2, 3, 11 and 13. */
const AGGREGATES: ReadonlySet<string> = new Set(
  `OFX SIGNONMSGSRSV1 SONRS STATUS FI BANKMSGSRSV1 CREDITCARDMSGSRSV1 INVSTMTMSGSRSV1 SECLISTMSGSRSV1 SECLIST STMTTRNRS
  CCSTMTTRNRS INVSTMTTRNRS STMTRS CCSTMTRS INVSTMTRS BANKACCTFROM CCACCTFROM INVACCTFROM BANKTRANLIST BANKTRANLISTP
  INVTRANLIST INVBANKTRAN STMTTRN STMTTRNP BANKACCTTO CCACCTTO PAYEE EXTDPAYEE CURRENCY ORIGCURRENCY IMAGEDATA LEDGERBAL
  AVAILBAL BALLIST BAL INVBAL INVPOSLIST INVOOLIST`.split(/\s+/),
)
const DEPTH_MAX = 100
const VALUES_MAX = 1_000

/** An aggregate that is open or complete. */
export interface Aggregate {
  readonly name: string
  readonly line: number
  readonly parent: Aggregate | null
  /** Its own values by name; the first one counts. */
  readonly values: Map<string, { readonly text: string; readonly line: number }>
}

export interface TreeEvents {
  openAggregate(aggregate: Aggregate): void
  closeAggregate(aggregate: Aggregate): void
}

export class OfxTree implements MarkupEvents {
  readonly #events: TreeEvents
  #top: Aggregate | null = null
  #depth = 0
  /** The element that was opened last, while it may still be a value. */
  #leaf: { name: string; text: string; line: number } | null = null
  #sawRoot = false
  #isOver = false

  constructor(events: TreeEvents) {
    this.#events = events
  }

  open(name: string, line: number): void {
    this.#endLeaf()
    if (this.#top === null && name !== 'OFX') {
      throw new StatementError('tag_unexpected', `expected <OFX>, found <${name}>`, { line })
    }
    if (this.#isOver)
      throw new StatementError('tag_unexpected', `expected nothing behind </OFX>, found <${name}>`, { line })
    this.#leaf = { name, text: '', line }
  }

  text(text: string): void {
    if (this.#leaf !== null) this.#leaf.text += text
  }

  close(name: string, line: number): void {
    if (this.#leaf?.name === name) {
      const isEmptyAggregate = AGGREGATES.has(name) && this.#leaf.text.trim() === ''
      this.#endLeaf()
      if (!isEmptyAggregate) return
    } else this.#endLeaf()
    if (!AGGREGATES.has(name)) return
    if (this.#top?.name !== name) {
      // A value's closing tag that comes late, or an aggregate's that is closed twice.
      const found = this.#top === null ? 'nothing open' : `<${this.#top.name}> of line ${this.#top.line} open`
      throw new StatementError(
        'markup_malformed',
        `expected </${this.#top?.name ?? 'OFX'}>, found </${name}> with ${found}`,
        { line },
      )
    }
    this.#closeTop()
  }

  /** @throws StatementError truncated where an aggregate is still open, format_unknown where there was none */
  end(line: number): void {
    this.#endLeaf()
    if (!this.#sawRoot) throw new StatementError('format_unknown', 'expected <OFX>', { line })
    if (this.#top !== null) {
      throw new StatementError(
        'truncated',
        `expected </${this.#top.name}>, opened on line ${this.#top.line}`,
        {
          line,
          path: pathOf(this.#top),
        },
      )
    }
  }

  #endLeaf(): void {
    const leaf = this.#leaf
    this.#leaf = null
    if (leaf === null) return
    const text = leaf.text.trim()
    if (text === '' && AGGREGATES.has(leaf.name)) this.#openAggregate(leaf.name, leaf.line)
    else if (this.#top !== null && !this.#top.values.has(leaf.name)) {
      if (this.#top.values.size >= VALUES_MAX) {
        throw new StatementError('statement_too_large', `expected at most ${VALUES_MAX} values`, {
          line: leaf.line,
        })
      }
      this.#top.values.set(leaf.name, { text, line: leaf.line })
    }
  }

  #openAggregate(name: string, line: number): void {
    this.#depth += 1
    if (this.#depth > DEPTH_MAX) {
      throw new StatementError('statement_too_large', `expected at most ${DEPTH_MAX} levels`, { line })
    }
    this.#sawRoot = true
    this.#top = { name, line, parent: this.#top, values: new Map() }
    this.#events.openAggregate(this.#top)
  }

  #closeTop(): void {
    const closed = this.#top!
    this.#top = closed.parent
    this.#depth -= 1
    if (this.#top === null) this.#isOver = true
    this.#events.closeAggregate(closed)
  }
}

/** `/OFX/BANKMSGSRSV1/…` */
export function pathOf(aggregate: Aggregate): string {
  const parent = aggregate.parent === null ? '' : pathOf(aggregate.parent)
  return `${parent}/${aggregate.name}`
}
