/** The generated two sides: the same seed gives the same data, its truth is consistent, and the matcher meets its aims on it. */
import { describe, expect, test } from 'vitest'
import { Matcher } from '#domain/matching/matcher.ts'
import { defaultPasses } from '#domain/matching/passes.ts'
import { DEFAULT_MIX, FEES_MINOR, generateTwoSides, ROUNDING_MAX_MINOR } from './generator.ts'
import { AIMS, reaches, scoreOf } from './score.ts'

const options = { seed: 7, events: 4_000, days: 90 }

test('the same seed gives the same data', () => {
  expect(generateTwoSides(options)).toEqual(generateTwoSides(options))
  expect(generateTwoSides({ ...options, seed: 8 })).not.toEqual(generateTwoSides(options))
})

test('the shares of the mix are thousandths, and the truth names every item once', () => {
  expect(Object.values(DEFAULT_MIX).reduce((sum, share) => sum + share, 0)).toBe(1_000)
  const { ledger, bank, matches, breaks } = generateTwoSides(options)
  const named = [
    ...matches.flatMap((match) => [...match.ledger, ...match.bank]),
    ...breaks.map(({ item }) => item),
  ]
  expect(named.sort()).toEqual([...ledger, ...bank].map(({ id }) => id).sort())
  expect(new Set(matches.map(({ kind }) => kind)).size).toBe(Object.keys(DEFAULT_MIX).length - 3)
})

describe('the default mix', () => {
  test.each([1, 2, 3])('with seed %i is matched as well as is aimed at', (seed) => {
    const { ledger, bank, matches } = generateTwoSides({ ...options, seed })
    const matcher = new Matcher(
      defaultPasses({ absoluteMinor: ROUNDING_MAX_MINOR, perMillion: 0, feesMinor: FEES_MINOR }),
    )
    for (const item of [...ledger, ...bank]) matcher.add(item)
    matcher.settle()
    const score = scoreOf(matcher.matches(), matches)
    expect(reaches(score.precision, AIMS.precision), JSON.stringify(score.wrong)).toBe(true)
    expect(reaches(score.recall, AIMS.recall), JSON.stringify(score.recallByKind)).toBe(true)
    // Twins can't be told apart: a matcher that finds them guesses.
    expect(score.recallByKind.twins?.right).toBe(0)
  })
})

test('a wrong match counts against precision, a missing one against recall', () => {
  const { ledger, bank } = generateTwoSides({ seed: 1, events: 5, days: 3 })
  const match = {
    pass: 'p',
    score: 1,
    ledger: [ledger[0]!],
    bank: [bank[0]!],
    differenceMinor: 0n,
    because: 'none' as const,
  }
  const truth = { kind: 'reference' as const, ledger: [ledger[0]!.id], bank: [bank[0]!.id] }
  const other = { ...truth, bank: ['nobody'] }
  expect(scoreOf([match], [truth])).toMatchObject({
    precision: { right: 1, all: 1 },
    recall: { right: 1, all: 1 },
  })
  expect(scoreOf([match], [other])).toMatchObject({
    precision: { right: 0, all: 1 },
    recall: { right: 0, all: 1 },
  })
})
