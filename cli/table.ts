/** Rows for people: columns aligned, those in `right` to the right (amounts). */

/** @param rows The first one is the heading. Control characters are shown as `?`, so that stored text can't steer a terminal. */
export function table(rows: readonly (readonly string[])[], right: readonly number[] = []): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not get through.
  const plain = rows.map((row) => row.map((cell) => cell.replace(/[\x00-\x1f\x7f-\x9f]/g, '?')))
  const columns = Math.max(0, ...plain.map((row) => row.length))
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...plain.map((row) => row[column]?.length ?? 0)),
  )
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) =>
        right.includes(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
      )
      .join('  ')
      .trimEnd()
  return plain.map(line).join('\n')
}

/** What follows a page that isn't the last. */
export const moreLine = (next: string | null): string => (next === null ? '' : `\nmore: --after ${next}`)

/** One thing with its properties, a line each. */
export const details = (properties: readonly (readonly [string, string])[]): string => table(properties)
