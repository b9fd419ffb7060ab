/** How good matches are, measured against the truth: a match is right where its items are exactly those that belong together. */
import type { Match } from '#domain/matching/matcher.ts'
import type { TrueMatch } from './generator.ts'

export interface Share {
  readonly right: number
  readonly all: number
}

export interface Score {
  /** Of the matches made, those that are right. */
  readonly precision: Share
  /** Of what belongs together, what was found. */
  readonly recall: Share
  readonly precisionByPass: Readonly<Record<string, Share>>
  readonly recallByKind: Readonly<Record<string, Share>>
  /** Some matches that are wrong, for looking into. */
  readonly wrong: readonly {
    readonly pass: string
    readonly ledger: readonly string[]
    readonly bank: readonly string[]
  }[]
}

const WRONG_SHOWN_MAX = 20

/** What a pass may get wrong and miss, and still pass: shares of a million. */
export const AIMS = { precision: 999_000, recall: 970_000 } as const

/** Whether a share reaches so many millionths; nothing at all reaches everything. */
export const reaches = ({ right, all }: Share, perMillion: number): boolean =>
  right * 1_000_000 >= all * perMillion

const nameOf = (ledger: readonly string[], bank: readonly string[]) =>
  `${[...ledger].sort().join(' ')}|${[...bank].sort().join(' ')}`

/** Compares matches with the truth. */
export function scoreOf(matches: Iterable<Match>, truth: readonly TrueMatch[]): Score {
  const kinds = new Map(truth.map(({ kind, ledger, bank }) => [nameOf(ledger, bank), kind]))
  const byPass = new Map<string, { right: number; all: number }>()
  const byKind = new Map<string, { right: number; all: number }>()
  for (const { kind } of truth) countOf(byKind, kind).all += 1
  const wrong: Score['wrong'][number][] = []
  const total = { right: 0, all: 0 }
  for (const match of matches) {
    const ledger = match.ledger.map(({ id }) => id)
    const bank = match.bank.map(({ id }) => id)
    const kind = kinds.get(nameOf(ledger, bank))
    const ofPass = countOf(byPass, match.pass)
    ofPass.all += 1
    total.all += 1
    if (kind === undefined) {
      if (wrong.length < WRONG_SHOWN_MAX) wrong.push({ pass: match.pass, ledger, bank })
      continue
    }
    ofPass.right += 1
    total.right += 1
    countOf(byKind, kind).right += 1
  }
  return {
    precision: total,
    recall: { right: total.right, all: truth.length },
    precisionByPass: Object.fromEntries(byPass),
    recallByKind: Object.fromEntries(byKind),
    wrong,
  }
}

function countOf(counts: Map<string, { right: number; all: number }>, name: string) {
  const count = counts.get(name) ?? { right: 0, all: 0 }
  counts.set(name, count)
  return count
}
