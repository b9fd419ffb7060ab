/** The settings of a pair of sources, as JSON; docs/reconciliation.md describes every key. */
import {
  MappingChecker,
  mappingJson,
  readMappingText,
  type Section,
} from '#connectors/csv/mapping-checker.ts'
import { BREAK_SETTINGS, type BreakSettings } from '#domain/breaks/classify.ts'
import { type PairSettings, pairSettings } from '#domain/matching/pair.ts'
import { type Pass, passProblems, type Tolerance } from '#domain/matching/passes.ts'

/** Reads and checks a file. @throws ConfigurationError naming every wrong key */
export async function readPairFile(path: string): Promise<PairSettings> {
  return parsePair(await readMappingText(path))
}

/** Checks the JSON text of a pair's settings. @throws ConfigurationError */
export function parsePair(text: string): PairSettings {
  const checker = new MappingChecker()
  const root = checker.section(mappingJson(text), '')
  const base = pairSettings(
    readAccounts(root.optionalSection('accounts')),
    readTolerance(root.optionalSection('tolerance')),
  )
  const settings: PairSettings = {
    ...base,
    expandLines: root.boolean('expandLines', true),
    takeReports: root.boolean('takeReports', false),
    passes: readPasses(root.optionalSection('passes'), base.passes),
    breaks: readBreaks(root.optionalSection('breaks')),
  }
  for (const problem of passProblems(settings.passes)) checker.add(`mapping passes: ${problem}`)
  root.finish()
  checker.finish()
  return settings
}

const NAME = { expected: 'an account', pattern: /^.{1,64}$/ }

function readAccounts(section: Section): Map<string, string> {
  const accounts = new Map(section.keys().map((bank) => [bank, section.text(bank, NAME)]))
  section.finish()
  return accounts
}

const AMOUNT = { expected: 'minor units as text, such as "150"', pattern: /^\d{1,18}$/, fallback: '0' }

const FEES_MAX = 100

function readTolerance(section: Section): Tolerance {
  const absoluteMinor = BigInt(section.text('absoluteMinor', AMOUNT) || '0')
  const perMillion = section.integer('perMillion', { min: 0, max: 100_000, fallback: 0 })
  const fees = section.has('feesMinor') ? (section.optionalTexts('feesMinor') ?? []) : []
  if (fees.length > FEES_MAX || fees.some((fee) => !AMOUNT.pattern.test(fee))) {
    section.complain('feesMinor', `up to ${FEES_MAX} texts of minor units`, fees)
  }
  section.finish()
  return { absoluteMinor, perMillion, feesMinor: fees.filter((fee) => AMOUNT.pattern.test(fee)).map(BigInt) }
}

/** By the names of the default passes: `off`, or other limits. Passes of a new kind are code. */
function readPasses(section: Section, passes: readonly Pass[]): readonly Pass[] {
  const changed = passes.flatMap((pass): Pass[] => {
    if (!section.has(pass.name)) return [pass]
    const own = section.section(pass.name)
    const isOff = own.boolean('off', false)
    const windowDays = own.integer('windowDays', { min: 0, max: 366, fallback: pass.windowDays ?? 0 })
    const groupMax = own.integer('groupMax', { min: 2, max: 100_000, fallback: pass.groupMax })
    own.finish()
    return isOff ? [] : [{ ...pass, windowDays, groupMax }]
  })
  section.finish()
  return changed
}

function readBreaks(section: Section): BreakSettings {
  const amount = (key: string, fallback: bigint) =>
    BigInt(section.text(key, { ...AMOUNT, fallback: String(fallback) }) || '0')
  const days = (key: string, fallback: number) => section.integer(key, { min: 0, max: 3_660, fallback })
  const { severity } = BREAK_SETTINGS
  const settings: BreakSettings = {
    timingDays: days('timingDays', BREAK_SETTINGS.timingDays),
    feeMaxMinor: amount('feeMaxMinor', BREAK_SETTINGS.feeMaxMinor),
    severity: {
      mediumMinor: amount('mediumMinor', severity.mediumMinor),
      highMinor: amount('highMinor', severity.highMinor),
      mediumDays: days('mediumDays', severity.mediumDays),
      highDays: days('highDays', severity.highDays),
    },
  }
  section.finish()
  return settings
}
