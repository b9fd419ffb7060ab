/**
 * Cuts OFX into tags and text. OFX 1.x is SGML, where values have no closing tags; OFX 2.x is XML, yet banks label files of
 * one kind as the other or mix both, so one tokenizer reads them. Source: OFX 1.6 and 2.3 specifications, chapter 2.
 * Entities: those of XML, `&nbsp;` and character numbers; a document type is refused.
 */
import { StatementError, shown } from '../problems.ts'

export interface MarkupEvents {
  open(name: string, line: number): void
  /** What stands between two tags, entities resolved; may be blank. */
  text(text: string, line: number): void
  close(name: string, line: number): void
}

/** Longest piece between two tags, or inside one, UTF-16 units. */
const PIECE_LENGTH_MAX = 1_048_576
const LINE_FEED = 10
const TAG = /^(\/?)([A-Za-z][\w.:-]*)(?:\s[\s\S]*?)?(\/?)$/
const ENTITIES: ReadonlyMap<string, string> = new Map([
  ['amp', '&'],
  ['lt', '<'],
  ['gt', '>'],
  ['quot', '"'],
  ['apos', "'"],
  ['nbsp', ' '],
])

export class Markup {
  readonly #events: MarkupEvents
  #buffer = ''
  #at = 0
  #line = 1
  /** Where text that is not handed over yet begins: before `#at` where a `<` in it was no tag. */
  #textStart = 0

  constructor(events: MarkupEvents) {
    this.#events = events
  }

  get line(): number {
    return this.#line
  }

  push(text: string): void {
    this.#buffer = this.#buffer.slice(this.#textStart) + text
    this.#at -= this.#textStart
    this.#textStart = 0
    while (this.#step());
    if (this.#buffer.length - this.#textStart > PIECE_LENGTH_MAX + text.length) this.#tooLong()
  }

  /** @throws StatementError truncated where a tag is still open */
  end(): void {
    const rest = this.#buffer.slice(this.#at)
    if (/^<[A-Za-z/!?]/.test(rest)) {
      throw new StatementError('truncated', `expected > behind ${shown(rest)}`, { line: this.#line })
    }
    this.#flushText(this.#buffer.length)
  }

  /** Takes the next tag, with the text before it; false where more text must come first. */
  #step(): boolean {
    const start = this.#buffer.indexOf('<', this.#at)
    if (start < 0) {
      this.#at = this.#buffer.length
      return false
    }
    this.#at = start
    const next = this.#buffer[start + 1]
    if (next === undefined) return false
    if (!/[A-Za-z/!?]/.test(next)) {
      // A lone < belongs to the text, as in "A < B".
      this.#at = start + 1
      return true
    }
    return this.#construct(start)
  }

  #construct(start: number): boolean {
    const buffer = this.#buffer
    // Shorter than the longest mark below: what it is can't be told yet.
    if (buffer[start + 1] === '!' && buffer.length - start < 9) return false
    if (buffer.startsWith('<!--', start)) return this.#skip(start, '-->')
    if (buffer.startsWith('<![CDATA[', start)) return this.#characterData(start)
    if (buffer.startsWith('<!', start)) {
      throw new StatementError(
        'doctype_refused',
        'document types and the entities they declare are not accepted',
        {
          line: this.#line,
        },
      )
    }
    if (buffer.startsWith('<?', start)) return this.#skip(start, '?>')
    const end = buffer.indexOf('>', start)
    if (end < 0) return false
    this.#flushText(start)
    this.#tag(buffer.slice(start + 1, end))
    this.#consume(end + 1)
    return true
  }

  #tag(inner: string): void {
    const match = TAG.exec(inner.trimEnd())
    if (match === null)
      throw new StatementError('markup_malformed', `expected a tag, found ${shown(`<${inner}>`)}`, {
        line: this.#line,
      })
    const name = match[2]!.toUpperCase()
    if (match[1] === '/') this.#events.close(name, this.#line)
    else {
      this.#events.open(name, this.#line)
      if (match[3] === '/') this.#events.close(name, this.#line)
    }
  }

  #skip(start: number, mark: string): boolean {
    const end = this.#buffer.indexOf(mark, start + 2)
    if (end < 0) return false
    this.#flushText(start)
    this.#consume(end + mark.length)
    return true
  }

  #characterData(start: number): boolean {
    const end = this.#buffer.indexOf(']]>', start)
    if (end < 0) return false
    this.#flushText(start)
    this.#events.text(this.#buffer.slice(start + 9, end), this.#line)
    this.#consume(end + 3)
    return true
  }

  /** Hands over the text before `end`. */
  #flushText(end: number): void {
    if (end - this.#textStart > PIECE_LENGTH_MAX) this.#tooLong()
    if (end > this.#textStart) {
      this.#events.text(resolveEntities(this.#buffer.slice(this.#textStart, end)), this.#line)
    }
    this.#consume(end)
  }

  #consume(end: number): void {
    // By hand: indexOf would look beyond the end, again for every tag of a file without line ends.
    for (let at = this.#textStart; at < end; at += 1)
      if (this.#buffer.charCodeAt(at) === LINE_FEED) this.#line += 1
    this.#textStart = end
    this.#at = end
  }

  #tooLong(): never {
    throw new StatementError(
      'statement_too_large',
      `expected at most ${PIECE_LENGTH_MAX} characters between two tags`,
      {
        line: this.#line,
      },
    )
  }
}

/** Unknown names stay as they are: OFX 1.x files carry bare ampersands. */
const resolveEntities = (text: string): string =>
  text.includes('&')
    ? text.replace(/&(?:#(\d{1,7})|#x([\dA-Fa-f]{1,6})|([a-z]{2,4}));/g, (whole, decimal, hex, name) => {
        if (name !== undefined) return ENTITIES.get(name) ?? whole
        const point = decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal)
        return point > 0 && point <= 0x10ffff ? String.fromCodePoint(point) : whole
      })
    : text
