/**
 * 278 statement files of many banks and programs against the values that an independent reader found in them
 * (`statements/manifest.json` of the test data): every account, balance, count and sum exactly, every broken sum reported.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Decimal, isEqual, parseDecimal } from '#domain/statements/decimal.ts'
import { testDataFolder } from '#platform/config/environment.ts'
import { type ParsedStatement, parseStatementFile } from './parse-file.ts'

interface Expected {
  readonly account: string | null
  readonly opening: string | null
  readonly closing: string | null
  readonly entries: number
  readonly sumCredits: string
  readonly sumDebits: string
  readonly balanceCheck: string
  readonly reversals?: number
  readonly pending?: number
  readonly txDtls?: number
}

interface ManifestFile {
  readonly file: string
  readonly format: string
  readonly error: string | null
  readonly expected: { readonly statements: readonly Expected[] }
}

const folder = join(testDataFolder() ?? '', 'statements')
const manifest = join(folder, 'manifest.json')
const options = { collectLines: true, mapping: null, signal: new AbortController().signal }
const hasData = testDataFolder() !== undefined && existsSync(manifest)

test.skipIf(!hasData)('every file of the test data is read exactly', { timeout: 60_000 }, async () => {
  const { files } = JSON.parse(readFileSync(manifest, 'utf8')) as { files: readonly ManifestFile[] }
  const wrong: string[] = []
  for (const file of files) {
    const parsed = await parseStatementFile(join(folder, file.file), options)
    for (const difference of differences(file, parsed)) wrong.push(`${file.file}: ${difference}`)
  }
  expect(files.length).toBeGreaterThan(0)
  expect(wrong).toEqual([])
})

function differences(file: ManifestFile, parsed: Awaited<ReturnType<typeof parseStatementFile>>): string[] {
  if (file.error !== null) return parsed.error === null ? ['was read, expected an error'] : []
  if (parsed.error !== null) return [`error ${parsed.error.code}: ${parsed.error.message}`]
  const found: string[] = []
  const format = file.format.replace('.unknown', '')
  if (parsed.format !== format) found.push(`format ${parsed.format}, expected ${format}`)
  const { statements } = file.expected
  if (parsed.statements.length !== statements.length) {
    return [...found, `${parsed.statements.length} statements, expected ${statements.length}`]
  }
  return [...found, ...statements.flatMap((expected, index) => compare(expected, parsed.statements[index]!))]
}

function compare(expected: Expected, found: ParsedStatement): string[] {
  const lines = found.lines ?? []
  const count = (keep: (line: (typeof lines)[number]) => boolean) => lines.filter(keep).length
  const details = lines.reduce((sum, line) => sum + line.details.length, 0)
  const pairs: [string, unknown, unknown][] = [
    [
      'account',
      found.account?.replaceAll(' ', '') ?? null,
      expected.account?.replaceAll(' ', '') ?? found.account,
    ],
    ['entries', found.entries, expected.entries],
    ['booked lines', count(({ status }) => status === 'booked'), expected.entries],
    ['proof', found.proof, expected.balanceCheck.toLowerCase()],
    ['opening', same(found.opening?.amount, expected.opening), true],
    ['closing', same(found.closing?.amount, expected.closing), true],
    ['credits', same(found.sumCredits, expected.sumCredits), true],
    ['debits', same(found.sumDebits, expected.sumDebits), true],
    ['reversals', count(({ reversal }) => reversal), expected.reversals ?? count(({ reversal }) => reversal)],
    ['not booked', found.unbooked, expected.pending ?? found.unbooked],
    ['details', details, expected.txDtls ?? details],
  ]
  return pairs
    .filter(([, left, right]) => left !== right)
    .map(([name, left, right]) => `${name} ${left}, expected ${right}`)
}

/** Values that the manifest leaves open (null) are not compared. */
const same = (found: Decimal | undefined, expected: string | null): boolean =>
  expected === null || (found !== undefined && isEqual(found, parseDecimal(expected, '.')!))
