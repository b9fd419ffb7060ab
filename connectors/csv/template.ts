/** Id and field templates of a mapping: literal text with columns in braces, for example `card:{customer_id}`. */
import { ConfigurationError } from '#platform/errors.ts'

/** Literal text and column names in turn; parts with `column` are filled from the line. */
export interface Template {
  readonly source: string
  readonly parts: readonly ({ readonly literal: string } | { readonly column: string })[]
}

/** A template bound to the positions of a file's columns: fields of one line in, text out; null where a column used is empty. */
export type BoundTemplate = (fields: readonly string[]) => string | null

/**
 * Reads a template. `{name}` is a column, `{{` and `}}` are the braces themselves.
 * @throws ConfigurationError where a brace is left open or a name is empty; `path` names the place in the mapping.
 */
export function parseTemplate(source: string, path: string): Template {
  const parts: ({ literal: string } | { column: string })[] = []
  let literal = ''
  let at = 0
  while (at < source.length) {
    const two = source.slice(at, at + 2)
    if (two === '{{' || two === '}}') {
      literal += two[0]
      at += 2
    } else if (source[at] === '{') {
      const end = source.indexOf('}', at)
      const column = end < 0 ? '' : source.slice(at + 1, end).trim()
      if (column === '') {
        throw new ConfigurationError(`mapping ${path}: expected {column name}, found "${source.slice(at)}"`)
      }
      if (literal !== '') parts.push({ literal })
      literal = ''
      parts.push({ column })
      at = end + 1
    } else if (source[at] === '}') {
      throw new ConfigurationError(`mapping ${path}: expected }} for a brace itself, found } in "${source}"`)
    } else {
      literal += source[at]
      at += 1
    }
  }
  if (literal !== '' || parts.length === 0) parts.push({ literal })
  return { source, parts }
}

/**
 * Binds a template to a file's header.
 * @throws ConfigurationError where the file has no such column (the message lists those it has), or more than one.
 */
export function bindTemplate(template: Template, header: readonly string[], path: string): BoundTemplate {
  const bound = template.parts.map((part) =>
    'literal' in part ? part.literal : columnIndex(part.column, header, path),
  )
  const first = bound[0]!
  if (bound.length === 1) {
    // The two common cases without a loop: a constant, a whole column.
    if (typeof first === 'string') return () => (first === '' ? null : first)
    return (fields) => trimmed(fields[first]) || null
  }
  return (fields) => {
    let text = ''
    for (const part of bound) {
      if (typeof part === 'string') text += part
      else {
        const value = trimmed(fields[part])
        if (value === '') return null
        text += value
      }
    }
    return text
  }
}

function trimmed(value: string | undefined): string {
  return value === undefined ? '' : value.trim()
}

function columnIndex(column: string, header: readonly string[], path: string): number {
  const index = header.indexOf(column)
  if (index < 0) {
    throw new ConfigurationError(
      `mapping ${path}: expected a column of the file (${header.join(', ')}), found {${column}}`,
    )
  }
  // Which of them is meant nobody can say; the first one may be the wrong money.
  if (header.indexOf(column, index + 1) >= 0) {
    throw new ConfigurationError(
      `mapping ${path}: expected one column of that name, found {${column}} more than once in the file's header`,
    )
  }
  return index
}
