/**
 * Streams XML into a reader's events by saxes, which holds to XML 1.0 and its namespaces in full. Entities are never resolved
 * beyond the five of XML itself: a document type (where they would be declared) is refused before anything of it is used.
 */
import { SaxesParser } from 'saxes'
import type { Attributes, XmlEvents } from '#domain/statements/camt/element.ts'
import { CamtReader } from '#domain/statements/camt/reader.ts'
import type { StatementParser, StatementSink } from '#domain/statements/model.ts'
import { StatementError } from '#domain/statements/problems.ts'

/** Longest stretch without an element's begin or end (one text, one comment), UTF-16 units, and deepest nesting. */
const TOKEN_LENGTH_MAX = 4_194_304
const DEPTH_MAX = 200
const PIECE_LENGTH = 65_536
const NO_ATTRIBUTES: Attributes = {}

/** Pushes a document through `events`. @throws StatementError markup_malformed, doctype_refused, statement_too_large, and what the events throw */
export class XmlPush {
  readonly #parser = new SaxesParser({ xmlns: true, position: true })
  #depth = 0
  #length = 0
  #tokenStart = 0

  constructor(events: XmlEvents) {
    const parser = this.#parser
    parser.on('error', (error) => {
      // Its message begins with the place, which stands beside it already.
      throw this.#error(
        'markup_malformed',
        `not well-formed XML: ${error.message.replace(/^\S*?\d+:\d+: /, '')}`,
      )
    })
    parser.on('doctype', () => {
      throw this.#error('doctype_refused', 'document types and the entities they declare are not accepted')
    })
    parser.on('opentag', ({ local, uri, attributes }) => {
      this.#tokenStart = this.#length
      this.#depth += 1
      if (this.#depth > DEPTH_MAX)
        throw this.#error('statement_too_large', `expected at most ${DEPTH_MAX} levels`)
      events.open(local, uri, plain(attributes), parser.line)
    })
    parser.on('text', (text) => events.text(text))
    parser.on('cdata', (text) => events.text(text))
    parser.on('closetag', () => {
      this.#tokenStart = this.#length
      this.#depth -= 1
      events.close()
    })
  }

  push(text: string): void {
    for (let at = 0; at < text.length; at += PIECE_LENGTH) {
      const piece = text.slice(at, at + PIECE_LENGTH)
      this.#parser.write(piece)
      this.#length += piece.length
      if (this.#length - this.#tokenStart > TOKEN_LENGTH_MAX) {
        throw this.#error(
          'statement_too_large',
          `expected at most ${TOKEN_LENGTH_MAX} characters between two tags`,
        )
      }
    }
  }

  end(): void {
    this.#parser.close()
  }

  #error(
    code: 'markup_malformed' | 'doctype_refused' | 'statement_too_large',
    message: string,
  ): StatementError {
    return new StatementError(code, message, { line: this.#parser.line })
  }
}

function plain(
  attributes: Readonly<Record<string, { readonly local: string; readonly value: string }>>,
): Attributes {
  let result: Record<string, string> | undefined
  for (const name in attributes) {
    result ??= {}
    const { local, value } = attributes[name]!
    result[local] = value
  }
  return result ?? NO_ATTRIBUTES
}

/** A camt file from its text. */
export class CamtParser implements StatementParser {
  readonly #reader: CamtReader
  readonly #xml: XmlPush

  constructor(sink: StatementSink) {
    this.#reader = new CamtReader(sink)
    this.#xml = new XmlPush(this.#reader)
  }

  get format(): string {
    return this.#reader.format
  }

  push(text: string): void {
    this.#xml.push(text)
  }

  end(): void {
    this.#xml.end()
    this.#reader.end()
  }
}
