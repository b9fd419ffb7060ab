/**
 * Joins the physical records of a BAI2 file into logical ones and cuts them into fields. Source: BAI "Cash Management Balance
 * Reporting Specifications", version 2: fields end with a comma, records with a slash; 88 continues the record before it
 * with the next field, or goes on with the text that a 16 ends with.
 */
import { StatementError, shown } from '../problems.ts'

/** A logical record: the fields of its physical records. */
export interface Bai2Record {
  readonly code: string
  /** Line on which it starts, from 1. */
  readonly line: number
  /** Physical records that it is made of: trailers count them. */
  readonly physical: number
  readonly fields: FieldCursor
}

/** Most continuations of one record. */
const CONTINUATIONS_MAX = 10_000

/** Reads fields one after another; past the last one they are empty. */
export class FieldCursor {
  /** Fields of each physical record. */
  readonly #parts: readonly (readonly string[])[]
  #part = 0
  #field = 0

  constructor(parts: readonly (readonly string[])[]) {
    this.#parts = parts
  }

  get isAtEnd(): boolean {
    this.#skipFinished()
    return this.#part >= this.#parts.length
  }

  next(): string {
    if (this.isAtEnd) return ''
    const text = this.#parts[this.#part]![this.#field]!
    this.#field += 1
    return text.trim()
  }

  /** All that is left, as text: commas belong to it. */
  rest(): string {
    if (this.isAtEnd) return ''
    const first = this.#parts[this.#part]!.slice(this.#field).join(',')
    const following = this.#parts.slice(this.#part + 1).map((part) => part.join(','))
    this.#part = this.#parts.length
    return [first, ...following].join('\n').trim()
  }

  #skipFinished(): void {
    while (this.#part < this.#parts.length && this.#field >= this.#parts[this.#part]!.length) {
      this.#part += 1
      this.#field = 0
    }
  }
}

export class Bai2Records {
  readonly #take: (record: Bai2Record) => void
  #code = ''
  #line = 0
  #parts: string[][] = []

  constructor(take: (record: Bai2Record) => void) {
    this.#take = take
  }

  line(text: string, line: number): void {
    const plain = text.trimEnd()
    if (plain === '' || plain === '\u001a') return
    const match = /^(\d{2})(?:,(.*)|\/)$/.exec(plain)
    if (match === null) {
      throw new StatementError('value_invalid', `expected a record such as 16,…, found ${shown(plain)}`, {
        line,
      })
    }
    const body = match[2] ?? '/'
    const fields = (body.endsWith('/') ? body.slice(0, -1) : body).split(',')
    // The comma before the slash is written by some where nothing follows: it would make one field more, which is empty.
    if (match[1] === '88') this.#continue(fields, line)
    else {
      this.flush()
      this.#code = match[1]!
      this.#line = line
      this.#parts = [fields]
    }
  }

  /** Hands over the record that is complete. */
  flush(): void {
    if (this.#parts.length === 0) return
    const parts = this.#parts
    this.#parts = []
    this.#take({ code: this.#code, line: this.#line, physical: parts.length, fields: new FieldCursor(parts) })
  }

  #continue(fields: string[], line: number): void {
    if (this.#parts.length === 0) {
      throw new StatementError('tag_unexpected', 'expected another record before 88', { line, path: '88' })
    }
    if (this.#parts.length > CONTINUATIONS_MAX) {
      throw new StatementError('statement_too_large', `expected at most ${CONTINUATIONS_MAX} continuations`, {
        line,
        path: '88',
      })
    }
    this.#parts.push(fields)
  }
}
