/**
 * The project's own rules, where no linter has them: calls that a folder must not make, with what to use instead; files that
 * say what they are for; no file that grew too long; folders that explain themselves.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const LINES_MAX = 400

/** Files over LINES_MAX and how long they may be. May only shrink: a file that got shorter lowers its number here. */
const longFiles: Readonly<Record<string, number>> = {}

/** The architecture as a newcomer sees it: each of these folders says what lives in it. */
const documentedFolders = [
  ...[
    'schemas',
    'domain',
    'processors',
    'platform',
    'connectors',
    'api',
    'cli',
    'infra',
    'k8s',
    'loadtest',
    'tests',
  ],
]

/** Tracked files and new ones that git would take, by their path from the root. */
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => file !== '' && existsSync(join(root, file)))
const texts = new Map<string, string>()
function textOf(file: string): string {
  const text = texts.get(file) ?? readFileSync(join(root, file), 'utf8')
  texts.set(file, text)
  return text
}
const sources = files.filter((file) => /\.(ts|mjs)$/.test(file))
const isTest = (file: string) => /\.test\.ts$|fixtures\.ts$|\/testing\//.test(file)

interface BannedCall {
  pattern: RegExp
  instead: string
  where(file: string): boolean
}

const inDomain = (file: string) => file.startsWith('domain/') && !isTest(file)
const inProduct = (file: string) =>
  /^(api|connectors|platform|processors|schemas)\//.test(file) && !isTest(file)

const bannedCalls: readonly BannedCall[] = [
  {
    pattern: /\bMath\.random\b/,
    instead: 'a seeded generator passed in',
    where: (file) => inDomain(file) || isTest(file),
  },
  {
    pattern: /\bDate\.now\b|\bnew Date\(\)|\bperformance\.now\b/,
    instead: 'the decision time, passed in',
    where: inDomain,
  },
  { pattern: /\brandom(Bytes|UUID|Int)\b/, instead: 'an id passed in', where: inDomain },
  {
    pattern: /\bMath\.(exp|log\w*|pow|sqrt|cbrt|sin|cos|tan|hypot)\b|\w \*\* [^n\d]/,
    instead: 'integers or fixed point: another machine must compute the same bits',
    where: inDomain,
  },
  {
    pattern: /\bset(Timeout|Interval|Immediate)\b/,
    instead: 'nothing: deciding never waits',
    where: inDomain,
  },
  {
    pattern: /\bconsole\.\w+\(/,
    instead: 'a logger, or standard output in cli/command.ts',
    where: (file) => !isTest(file),
  },
  {
    pattern: /\bprocess\.env\b/,
    instead: 'platform/config',
    // The program's door runs before anything that it could import is installed.
    where: (file) =>
      !file.startsWith('platform/config/') &&
      file !== 'tests/tidy.test.ts' &&
      file !== 'cli/bin/tallystream.mjs',
  },
  { pattern: /\bprocess\.exit\(/, instead: 'an error, or process.exitCode', where: inProduct },
  { pattern: /\bparseFloat\b|\.toFixed\(/, instead: 'decimal strings and bigint', where: inDomain },
  { pattern: /\b(test|it|describe)\.only\(/, instead: 'the whole suite', where: isTest },
  {
    pattern: /@ts-(ignore|nocheck)/,
    instead: '@ts-expect-error with its reason',
    where: (file) => file !== 'tests/tidy.test.ts',
  },
]

/** Code without comments: what a comment says is not called. Strings stay, which is near enough for these patterns. */
function codeOf(file: string): string {
  return textOf(file)
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ''))
    .replace(/(^|\s)\/\/.*$/gm, '')
}

describe('banned calls', () => {
  test.each(bannedCalls)('$pattern: use $instead', ({ pattern, where }) => {
    const found = sources.filter(where).flatMap((file) =>
      codeOf(file)
        .split('\n')
        .flatMap((line, index) => (pattern.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : [])),
    )
    expect(found).toEqual([])
  })
})

test('every source file opens with its purpose', () => {
  const without = sources.filter((file) => !/^(#!.*\n)?(\/\*\*|\/\/)/.test(textOf(file)))
  expect(without).toEqual([])
})

test('every migration opens with its purpose', () => {
  const migrations = files.filter((file) => file.startsWith('schemas/sql/') && file.endsWith('.sql'))
  expect(migrations.filter((file) => !textOf(file).startsWith('--'))).toEqual([])
})

test(`no source file is longer than ${LINES_MAX} lines, except those that may only shrink`, () => {
  const linesOf = (file: string) => textOf(file).trimEnd().split('\n').length
  const tooLong = sources.filter((file) => linesOf(file) > (longFiles[file] ?? LINES_MAX))
  expect(tooLong.map((file) => `${file}: ${linesOf(file)}`)).toEqual([])
  const slack = Object.entries(longFiles).filter(
    ([file, allowed]) => !existsSync(join(root, file)) || linesOf(file) < allowed,
  )
  expect(slack, 'lower these numbers').toEqual([])
})

test('no path of one machine and no address of a package registry or proxy is written down', () => {
  const pattern =
    /(^|[^\w.])\/(home|Users|root|work)\/\w|https?:\/\/[\w.-]*(registry\.npmjs|repo1?\.maven|pypi\.|proxy\.)/
  const textFiles = files.filter(
    (file) => !/\.(gz|png|ico|woff2?|avro|bin)$/.test(file) && file !== 'tests/tidy.test.ts',
  )
  const found = textFiles.flatMap((file) =>
    textOf(file)
      .split('\n')
      .flatMap((line, index) =>
        pattern.test(line) ? [`${file}:${index + 1}: ${line.trim().slice(0, 120)}`] : [],
      ),
  )
  expect(found).toEqual([])
})

test('each migration has a number of its own, without a gap: they are applied in that order', () => {
  const numbers = files.flatMap((file) => /^schemas\/sql\/(\d{4})-[a-z-]+\.sql$/.exec(file)?.slice(1) ?? [])
  expect(numbers.length).toBeGreaterThan(0)
  expect(numbers.sort()).toEqual(numbers.map((_, place) => String(place + 1).padStart(4, '0')))
})

test.each(documentedFolders)(
  '%s/ says in 5 to 20 lines what lives there and what it may import',
  (folder) => {
    const file = join(root, folder, 'README.md')
    expect(existsSync(file), `${folder}/README.md`).toBe(true)
    const linesCount = readFileSync(file, 'utf8').trimEnd().split('\n').length
    expect(linesCount).toBeGreaterThanOrEqual(5)
    expect(linesCount).toBeLessThanOrEqual(20)
  },
)
