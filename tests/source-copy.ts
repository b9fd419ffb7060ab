/** A copy of the project's source with changes in it, for tests that run another version of the product in a process of its own. */
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))

export interface SourceChange {
  readonly file: string
  readonly change: (text: string) => string
}

/**
 * Copies folders of the project below .tallystream and changes files there. Remove it at the end.
 * @returns the copy's path
 */
export const copySource = (
  name: string,
  folders: readonly string[],
  changes: readonly SourceChange[],
): string => {
  const copy = join(root, '.tallystream', name)
  rmSync(copy, { recursive: true, force: true })
  mkdirSync(copy, { recursive: true })
  for (const folder of folders) cpSync(join(root, folder), join(copy, folder), { recursive: true })
  cpSync(join(root, 'package.json'), join(copy, 'package.json'))
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
  for (const { file, change } of changes) {
    writeFileSync(join(copy, file), change(readFileSync(join(copy, file), 'utf8')))
  }
  return copy
}
