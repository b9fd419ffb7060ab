/** Continuity of statements: gaps, wrong sums, pages, and that neither order nor repetition change what is found. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type ProvenStatement, proveStatements } from './continuity.ts'
import { fromMinor } from './decimal.ts'
import { statementKeyOf } from './identity.ts'
import type { StatementSummary } from './model.ts'

const statement = (
  key: string,
  date: string,
  openingMinor: number,
  closingMinor: number,
  given: Partial<ProvenStatement> = {},
): ProvenStatement => ({
  key,
  sequence: null,
  opening: { amount: fromMinor(BigInt(openingMinor), 2), date },
  closing: { amount: fromMinor(BigInt(closingMinor), 2), date },
  proof: 'ok',
  controls: 'n/a',
  ...given,
})

const march = [
  statement('a', '2026-03-02', 0, 500),
  statement('b', '2026-03-03', 500, 700),
  statement('c', '2026-03-04', 700, 100),
  statement('d', '2026-03-05', 100, 100),
]

test('statements that follow each other', () => {
  expect(proveStatements(march)).toEqual([])
  expect(proveStatements([])).toEqual([])
})

test('a missing one shows as what moved between its neighbours', () => {
  expect(proveStatements(march.filter(({ key }) => key !== 'c'))).toEqual([
    { kind: 'statement_gap', before: 'b', statement: 'd', missing: fromMinor(-600n, 2) },
  ])
})

test('scales of amounts do not matter', () => {
  const coarse = statement('b', '2026-03-03', 0, 0, {
    opening: { amount: fromMinor(5n, 0), date: '2026-03-03' },
  })
  expect(proveStatements([march[0]!, coarse])).toEqual([])
})

test('wrong arithmetic, of balances and of declared totals', () => {
  expect(
    proveStatements([
      statement('a', '2026-03-02', 0, 500, { proof: 'mismatch' }),
      statement('b', '2026-03-03', 500, 700, { controls: 'mismatch' }),
    ]),
  ).toEqual([
    { kind: 'statement_arithmetic', statement: 'a', of: 'balances' },
    { kind: 'statement_arithmetic', statement: 'b', of: 'totals' },
  ])
})

test('pages of one day go by their numbers, ten after nine; reports of one day by their balances', () => {
  const pages = [9, 10, 11].map((page) =>
    statement(`p${page}`, '2026-03-02', page * 10, page * 10 + 10, { sequence: `5/${page}` }),
  )
  expect(proveStatements([pages[1]!, pages[2]!, pages[0]!])).toEqual([])
  const reports = [
    statement('z', '2026-03-02', 0, 10),
    statement('y', '2026-03-02', 10, 30),
    statement('x', '2026-03-02', 30, 5),
  ]
  expect(proveStatements(reports)).toEqual([])
})

test('a statement without balances is passed over', () => {
  const without = statement('n', '2026-03-03', 0, 0, { opening: null, closing: null, proof: 'n/a' })
  expect(proveStatements([...march, without])).toEqual([])
})

test('neither order nor repetition change what is found', () => {
  const days = fc
    .array(fc.record({ opening: fc.integer({ min: 0, max: 3 }), closing: fc.integer({ min: 0, max: 3 }) }), {
      maxLength: 8,
    })
    .map((list) =>
      list.map(({ opening, closing }, at) =>
        statement(`k${at}`, `2026-03-0${1 + (at % 3)}`, opening, closing, {
          sequence: at % 4 === 0 ? null : String(at % 4),
        }),
      ),
    )
  fc.assert(
    fc.property(
      days.chain((list) =>
        fc.tuple(fc.constant(list), fc.shuffledSubarray([...list, ...list], { minLength: list.length * 2 })),
      ),
      ([list, shuffled]) => {
        expect(proveStatements(shuffled)).toEqual(proveStatements(list))
      },
    ),
  )
})

test('a statement is known again by what it says, not by how its amounts are written', () => {
  const summary: StatementSummary = {
    id: 'S1',
    account: 'DE1',
    currency: 'EUR',
    sequence: '1',
    opening: { amount: fromMinor(100n, 2), currency: 'EUR', date: '2026-03-02', code: 'OPBD' },
    closing: null,
    entries: 1,
    sumCredits: fromMinor(5n, 0),
    sumDebits: fromMinor(0n, 0),
    unbooked: 0,
    rejected: 0,
    proof: 'n/a',
    controls: 'n/a',
  }
  const key = statementKeyOf(summary)
  expect(key).toMatch(/^[0-9a-f]{32}$/)
  expect(statementKeyOf({ ...summary, sumCredits: fromMinor(500n, 2) })).toBe(key)
  expect(statementKeyOf({ ...summary, sumCredits: fromMinor(501n, 2) })).not.toBe(key)
  expect(statementKeyOf({ ...summary, sequence: '2' })).not.toBe(key)
})
