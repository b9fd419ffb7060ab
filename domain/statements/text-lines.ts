/** Cuts pushed text into lines, whatever ends them (CR LF, LF, CR) and wherever the pieces are cut. */
import { StatementError } from './problems.ts'

/** Longest line, UTF-16 units: far above what any line format allows, so that a file without line ends can't fill the memory. */
const LINE_LENGTH_MAX = 1_048_576

export class TextLines {
  readonly #take: (text: string, line: number) => void
  #rest = ''
  #line = 0
  #afterReturn = false

  /** @param take Gets each line without its end, and its number from 1. */
  constructor(take: (text: string, line: number) => void) {
    this.#take = take
  }

  push(text: string): void {
    if (text === '') return
    // A return ended a line already: its line feed came in the next piece.
    const piece = this.#afterReturn && text.startsWith('\n') ? text.slice(1) : text
    this.#afterReturn = piece.endsWith('\r')
    const lines = (this.#rest + piece).split(/\r\n|\n|\r/)
    this.#rest = lines.pop() ?? ''
    for (const line of lines) this.#emit(line)
    if (this.#rest.length > LINE_LENGTH_MAX) this.#tooLong()
  }

  end(): void {
    if (this.#rest !== '') this.#emit(this.#rest)
    this.#rest = ''
  }

  #emit(text: string): void {
    if (text.length > LINE_LENGTH_MAX) this.#tooLong()
    this.#line += 1
    this.#take(text, this.#line)
  }

  #tooLong(): never {
    throw new StatementError(
      'statement_too_large',
      `expected lines of at most ${LINE_LENGTH_MAX} characters`,
      {
        line: this.#line + 1,
      },
    )
  }
}

/** Transmission marks that lines of a network leave in files: start of heading, start and end of text, padding. */
const TRANSMISSION_MARKS = ['\u0000', '\u0001', '\u0002', '\u0003'] as const

/** A text without the marks of its transmission, which are no part of it. */
export function withoutMarks(text: string): string {
  let plain = text
  for (const mark of TRANSMISSION_MARKS) if (plain.includes(mark)) plain = plain.replaceAll(mark, '')
  return plain
}
