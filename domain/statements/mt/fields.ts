/**
 * Cuts the lines of MT940 and MT942 files into messages and fields. Source: SWIFT FIN message format: blocks {1:} to {5:},
 * fields `:20:` at a line's begin in block 4, end `-}`; files of banks often hold the fields alone, with a line `-` between
 * messages, or words of their own before them.
 */
import { StatementError } from '../problems.ts'
import { withoutMarks } from '../text-lines.ts'

export interface Field {
  /** `20`, `60F`, … */
  readonly tag: string
  readonly lines: string[]
  readonly line: number
}

export interface FieldEvents {
  /** A message begins; `type` is that of its header ("940"), where it has one. */
  message(type: string | null, line: number): void
  /** A field is complete. */
  field(field: Field): void
  /** The message is over: its end was met, or another one begins. */
  messageEnd(line: number): void
}

/** Fields of both messages. Anything else in colons is text, or a field of the bank's own. */
const TAGS: ReadonlySet<string> = new Set(
  '20 21 13 13D 25 25P 28 28C 34F 60F 60M 61 86 62F 62M 64 65 90C 90D NS'.split(' '),
)
/** What may follow a field 86: anything else there is text, where a time such as 13:12:11 was cut behind its first colon. */
const AFTER_86: ReadonlySet<string> = new Set('20 61 86 62F 62M 64 65 90C 90D NS'.split(' '))
const TAG = /^:([0-9A-Z]{2,3}):(.*)$/
const END = /^-(?:\}.*|\u00ad?XXX|)\s*$/
/** Lines that a field may have: a bank's remittance text is longer than the six lines of the standard, but not endless. */
const FIELD_LINES_MAX = 2_000

export class MtFields {
  readonly #events: FieldEvents
  #field: Field | null = null
  #inMessage = false
  /** Type in the header block that was last met, waiting for the message's first field. */
  #type: string | null = null
  /** Line on which a block 4 was opened; 0 = none is open. */
  #blockLine = 0

  constructor(events: FieldEvents) {
    this.#events = events
  }

  line(text: string, line: number): void {
    const plain = withoutMarks(text)
    if (/^\s*\{[1-4]:/.test(plain)) this.#blocks(plain, line)
    else if (END.test(plain)) this.#endMessage(line)
    else this.#content(plain, line)
  }

  /** @throws StatementError truncated where a block is still open */
  end(line: number): void {
    if (this.#blockLine > 0) {
      throw new StatementError(
        'truncated',
        `expected -} at the end of block 4, which began on line ${this.#blockLine}`,
        {
          line,
        },
      )
    }
    this.#endMessage(line)
  }

  #blocks(text: string, line: number): void {
    if (/\{1:/.test(text)) this.#endMessage(line)
    const type = /\{2:[IO](\d{3})/.exec(text)?.[1]
    if (type !== undefined) this.#type = type
    const at = text.indexOf('{4:')
    if (at < 0) return
    this.#blockLine = line
    const rest = text.slice(at + 3)
    if (rest !== '') this.#content(rest, line)
  }

  #content(text: string, line: number): void {
    const match = TAG.exec(text)
    const tag = match?.[1]
    if (tag === '20') {
      this.#endMessage(line, true)
      this.#inMessage = true
      this.#events.message(this.#type, line)
      this.#field = { tag, lines: [match![2]!], line }
    } else if (tag !== undefined && this.#isField(tag)) {
      if (!this.#inMessage) throw new StatementError('tag_missing', `expected :20: before :${tag}:`, { line })
      this.#endField()
      this.#field = { tag, lines: [match![2]!], line }
    } else if (this.#field !== null) {
      if (this.#field.lines.length >= FIELD_LINES_MAX) {
        throw new StatementError('statement_too_large', `expected at most ${FIELD_LINES_MAX} lines`, {
          line,
          path: `:${this.#field.tag}:`,
        })
      }
      this.#field.lines.push(text)
    }
  }

  #isField(tag: string): boolean {
    if (this.#field?.tag === '86') return AFTER_86.has(tag)
    return TAGS.has(tag)
  }

  #endField(): void {
    const field = this.#field
    this.#field = null
    if (field !== null) this.#events.field(field)
  }

  #endMessage(line: number, next = false): void {
    this.#endField()
    if (this.#inMessage) {
      this.#inMessage = false
      this.#events.messageEnd(line)
      this.#type = next ? this.#type : null
    }
    if (!next) this.#blockLine = 0
  }
}
