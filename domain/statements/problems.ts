/** What can be wrong with a statement file: a closed list of codes, each with the place in the file. */

/** Stable codes; docs/errors.md says what each means. */
export type StatementProblemCode =
  | 'file_unreadable'
  | 'file_empty'
  | 'gzip_damaged'
  | 'encoding_invalid'
  | 'format_unknown'
  | 'version_unsupported'
  | 'markup_malformed'
  | 'doctype_refused'
  | 'tag_missing'
  | 'tag_unexpected'
  | 'value_invalid'
  | 'currency_mixed'
  | 'truncated'
  | 'statement_too_large'

/** Where in a file: a line from 1, and a path (XML, OFX) or field (`:61:`, `16`) where the format has one. */
export interface SourcePlace {
  readonly line?: number
  readonly path?: string
}

export interface StatementProblem extends SourcePlace {
  readonly code: StatementProblemCode
  /** For a person: what was expected and what was found. */
  readonly message: string
}

/** The file can't be read as what it says it is: nothing of it is used. */
export class StatementError extends Error {
  readonly problem: StatementProblem

  constructor(code: StatementProblemCode, message: string, place: SourcePlace = {}) {
    super(message)
    this.name = 'StatementError'
    this.problem = { code, message, ...place }
  }
}

/** Longest piece of a file's text that a message repeats. */
const SHOWN_LENGTH_MAX = 60

/** A file's text for a message: short, in quotes, with control characters escaped. */
export const shown = (text: string): string =>
  JSON.stringify(text.length > SHOWN_LENGTH_MAX ? `${text.slice(0, SHOWN_LENGTH_MAX)}…` : text)
