/** The incremental matcher: each pass by example, and that neither order nor portions nor repetition change the outcome. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { MatchItem } from './item.ts'
import { type Match, Matcher } from './matcher.ts'
import { defaultPasses, NO_TOLERANCE, type Pass, type PairPass } from './passes.ts'
import { bankItem, ledgerItem } from './testing/item-fixture.ts'

const passes = defaultPasses({ absoluteMinor: 2n, perMillion: 0, feesMinor: [35n] })

const nameOf = ({ pass, ledger, bank, differenceMinor }: Match) =>
  `${pass}: ${ledger.map(({ id }) => id)} = ${bank.map(({ id }) => id)}${differenceMinor === 0n ? '' : ` (${differenceMinor})`}`

/** The outcome of items put in at once, as text. */
function outcomeOf(items: readonly MatchItem[], by: readonly Pass[] = passes) {
  const matcher = new Matcher(by)
  for (const item of items) matcher.add(item)
  matcher.settle()
  return outcome(matcher)
}

const outcome = (matcher: Matcher) => ({
  matches: [...matcher.matches()].map(nameOf).sort(),
  open: [...matcher.open()].map(({ id }) => id).sort(),
})

describe('what the passes match', () => {
  test('an exact reference, whatever else carries the same amount', () => {
    const result = outcomeOf([
      ledgerItem('L1', 100, { endToEndId: 'A1' }),
      ledgerItem('L2', 100, { endToEndId: 'A2' }),
      bankItem('B1', 100, { endToEndId: 'A2' }),
    ])
    expect(result).toEqual({ matches: ['reference:endToEndId: L2 = B1'], open: ['L1'] })
  })

  test('a payment that the bank booked twice: the nearer one, the other stays open', () => {
    const result = outcomeOf([
      ledgerItem('L1', 100, { endToEndId: 'A1' }),
      bankItem('B1', 100, { endToEndId: 'A1' }),
      bankItem('B2', 100, { endToEndId: 'A1', day: 101 }),
    ])
    expect(result).toEqual({ matches: ['reference:endToEndId: L1 = B1'], open: ['B2'] })
  })

  test('two that nothing tells apart: neither', () => {
    const twins = [bankItem('B1', 100, { endToEndId: 'A1' }), bankItem('B2', 100, { endToEndId: 'A1' })]
    expect(outcomeOf([ledgerItem('L1', 100, { endToEndId: 'A1' }), ...twins]).matches).toEqual([])
  })

  test('a standing order with the same reference every month: each with its own month', () => {
    const months = [100, 130, 161]
    const items = months.flatMap((day) => [
      ledgerItem(`L${day}`, -500, { endToEndId: 'RENT', day }),
      bankItem(`B${day}`, -500, { endToEndId: 'RENT', day: day + 1 }),
    ])
    expect(outcomeOf(items).matches).toEqual(
      months.map((day) => `reference:endToEndId: L${day} = B${day}`).sort(),
    )
  })

  test('amount and date where each is the only candidate; references that differ keep apart', () => {
    expect(outcomeOf([ledgerItem('L1', 100), bankItem('B1', 100, { day: 103 })]).matches).toEqual([
      'amount:date: L1 = B1',
    ])
    expect(outcomeOf([ledgerItem('L1', 100), bankItem('B1', 100, { day: 106 })]).matches).toEqual([])
    expect(
      outcomeOf([ledgerItem('L1', 100, { endToEndId: 'X1' }), bankItem('B1', 100, { endToEndId: 'X2' })])
        .matches,
    ).toEqual([])
    expect(outcomeOf([ledgerItem('L1', 100), ledgerItem('L2', 100), bankItem('B1', 100)]).matches).toEqual([])
  })

  test('a reference that the bank cut to its 16 characters', () => {
    const result = outcomeOf([
      ledgerItem('L1', 100, { endToEndId: 'INVOICE-00042-ABCDEF' }),
      ledgerItem('L2', 100, { endToEndId: 'INVOICE-00043-ABCDEF' }),
      bankItem('B1', 100, { endToEndId: 'INVOICE-00042-AB' }),
    ])
    expect(result).toEqual({ matches: ['reference:endToEndIdCut: L1 = B1'], open: ['L2'] })
  })

  test('a fee of the schedule and a small difference, where the reference agrees', () => {
    const pair = (id: string, ledger: number, bank: number) => [
      ledgerItem(`L${id}`, ledger, { endToEndId: `REF${id}` }),
      bankItem(`B${id}`, bank, { endToEndId: `REF${id}` }),
    ]
    expect(
      outcomeOf([
        ...pair('1', 1000, 965),
        ...pair('2', -1000, -1035),
        ...pair('3', 1000, 1002),
        ...pair('4', 1000, 997),
      ]),
    ).toEqual({
      matches: [
        'tolerance:endToEndId: L1 = B1 (35)',
        'tolerance:endToEndId: L2 = B2 (35)',
        'tolerance:endToEndId: L3 = B3 (-2)',
      ],
      open: ['B4', 'L4'],
    })
  })

  test('a bulk payment by its key, only once all parts are there', () => {
    const parts = [
      ledgerItem('L1', 100, { groupKey: 'BULK' }),
      ledgerItem('L2', 250, { groupKey: 'BULK' }),
      ledgerItem('L3', 650, { groupKey: 'BULK' }),
    ]
    const sum = bankItem('B1', 1000, { groupKey: 'BULK' })
    expect(outcomeOf([sum, ...parts]).matches).toEqual(['group:key: L1,L2,L3 = B1'])
    expect(outcomeOf([sum, parts[0]!, parts[1]!]).matches).toEqual([])
  })

  test('several against several by a key', () => {
    const result = outcomeOf([
      ledgerItem('L1', 100, { groupKey: 'S' }),
      ledgerItem('L2', 200, { groupKey: 'S' }),
      bankItem('B1', 120, { groupKey: 'S' }),
      bankItem('B2', 180, { groupKey: 'S' }),
    ])
    expect(result.matches).toEqual(['group:key: L1,L2 = B1,B2'])
  })

  test('a sum without a key: only where one answer exists', () => {
    const from = { counterpartyAccount: 'DE1' }
    const parts = [ledgerItem('L1', 100, from), ledgerItem('L2', 250, from), ledgerItem('L3', 650, from)]
    expect(outcomeOf([...parts, bankItem('B1', 350, from)])).toEqual({
      matches: ['subset:counterparty: L1,L2 = B1'],
      open: ['L3'],
    })
    const other = ledgerItem('L4', 350 - 650 + 400, from)
    expect(outcomeOf([...parts, other, bankItem('B1', 350, from)]).matches).toEqual([])
  })

  test('a sum that two items could be: neither', () => {
    const from = { counterpartyAccount: 'DE1' }
    const parts = [ledgerItem('L1', 100, from), ledgerItem('L2', 250, from)]
    const sums = [bankItem('B1', 350, from), bankItem('B2', 350, from)]
    expect(outcomeOf([...parts, ...sums]).matches).toEqual([])
  })

  test('accounts of the other party that differ keep apart; a national number agrees with its IBAN', () => {
    const result = outcomeOf([
      ledgerItem('L1', 100, { counterpartyAccount: 'DE02120300000000202051' }),
      bankItem('B1', 100, { counterpartyAccount: 'DE02500105170137075030' }),
      ledgerItem('L2', 200, { counterpartyAccount: 'DE02120300000000202051' }),
      bankItem('B2', 200, { counterpartyAccount: '0000202051' }),
    ])
    expect(result).toEqual({ matches: ['amount:date: L2 = B2'], open: ['B1', 'L1'] })
  })

  test('amounts in two currencies at a rate', () => {
    const rate: PairPass = {
      kind: 'pair',
      name: 'rate',
      key: ['endToEndId'],
      amount: {
        kind: 'rate',
        rates: [{ from: 'EUR', to: 'USD', numerator: 108n, denominator: 100n }],
        tolerance: { ...NO_TOLERANCE, perMillion: 5_000 },
      },
      windowDays: 5,
      ties: 'open',
      score: 900,
      groupMax: 100,
    }
    const result = outcomeOf(
      [
        ledgerItem('L1', 10_000, { endToEndId: 'FX1' }),
        bankItem('B1', 10_790, { endToEndId: 'FX1', currency: 'USD' }),
        ledgerItem('L2', 10_000, { endToEndId: 'FX2' }),
        bankItem('B2', 10_700, { endToEndId: 'FX2', currency: 'USD' }),
      ],
      [rate],
    )
    expect(result).toEqual({ matches: ['rate: L1 = B1 (10)'], open: ['B2', 'L2'] })
  })

  test('a group larger than its limit is left open', () => {
    const items = [1, 2, 3].flatMap((n) => [
      ledgerItem(`L${n}`, n, { endToEndId: 'SAME' }),
      bankItem(`B${n}`, n),
    ])
    const small = passes.map((pass) => ({ ...pass, groupMax: 2 }))
    expect(outcomeOf(items, small).matches.filter((name) => name.startsWith('group'))).toEqual([])
  })
})

describe('what comes later', () => {
  test('makes a match ambiguous: it is taken back, and the history says so', () => {
    const matcher = new Matcher(passes)
    matcher.add(ledgerItem('L1', 100))
    matcher.add(bankItem('B1', 100))
    expect(matcher.settle().matched.map(nameOf)).toEqual(['amount:date: L1 = B1'])
    matcher.add(ledgerItem('L2', 100, { day: 101 }))
    const { matched, unmatched } = matcher.settle()
    expect(matched).toEqual([])
    expect(unmatched.map(nameOf)).toEqual(['amount:date: L1 = B1'])
    expect(outcome(matcher).open).toEqual(['B1', 'L1', 'L2'])
  })

  test('brings a better match: the weaker one is superseded', () => {
    const matcher = new Matcher(passes)
    matcher.add(ledgerItem('L1', 100))
    matcher.add(bankItem('B1', 100, { endToEndId: 'A1' }))
    matcher.settle()
    matcher.add(ledgerItem('L2', 100, { endToEndId: 'A1' }))
    const { matched, unmatched } = matcher.settle()
    expect(unmatched.map(nameOf)).toEqual(['amount:date: L1 = B1'])
    expect(matched.map(nameOf)).toEqual(['reference:endToEndId: L2 = B1'])
  })

  test('a repeated item changes nothing; the same id with other content is told', () => {
    const matcher = new Matcher(passes)
    expect(matcher.add(ledgerItem('L1', 100))).toBe('new')
    matcher.settle()
    expect(matcher.add(ledgerItem('L1', 100, { provenance: 'another file' }))).toBe('known')
    expect(matcher.add(ledgerItem('L1', 101))).toBe('conflict')
    expect(matcher.settle()).toEqual({ matched: [], unmatched: [] })
  })
})

describe('what people decide', () => {
  test('taken items leave, given back ones return', () => {
    const matcher = new Matcher(passes)
    for (const item of [ledgerItem('L1', 100), ledgerItem('L2', 100), bankItem('B1', 100)]) matcher.add(item)
    matcher.settle()
    expect(matcher.take(['L2', 'nobody'])).toBe(false)
    expect(matcher.take(['L2'])).toBe(true)
    expect(matcher.take(['L2'])).toBe(false)
    expect(matcher.settle().matched.map(nameOf)).toEqual(['amount:date: L1 = B1'])
    expect(matcher.giveBack(['L2'])).toBe(true)
    expect(matcher.settle().unmatched.map(nameOf)).toEqual(['amount:date: L1 = B1'])
  })

  test('what is parted is not paired again, in no pass', () => {
    const matcher = new Matcher(passes)
    const reference = { endToEndId: 'A1' }
    for (const item of [ledgerItem('L1', 100, reference), bankItem('B1', 100, reference)]) matcher.add(item)
    matcher.settle()
    matcher.block(['L1'], ['B1'])
    expect(matcher.settle().unmatched.map(nameOf)).toEqual(['reference:endToEndId: L1 = B1'])
    expect(outcome(matcher)).toEqual({ matches: [], open: ['B1', 'L1'] })
  })
})

/** Few values of everything, so that groups are full of twins, near ones and sums. */
const anyItem = fc.record({
  side: fc.constantFrom('ledger' as const, 'bank' as const),
  amount: fc.constantFrom(100, 100, 135, 200, 300, -100, -300),
  day: fc.integer({ min: 100, max: 112 }),
  endToEndId: fc.constantFrom(undefined, undefined, 'E01', 'E02', 'E03'),
  uetr: fc.constantFrom(undefined, undefined, undefined, 'U01', 'U02'),
  groupKey: fc.constantFrom(null, null, 'G01'),
  counterpartyAccount: fc.constantFrom(null, 'DE1', 'DE2'),
})

const anyItems = fc.array(anyItem, { minLength: 2, maxLength: 24 }).map((drafts) =>
  drafts.map(({ side, amount, endToEndId, uetr, ...given }, at) => {
    const references = {
      ...(endToEndId === undefined ? {} : { endToEndId }),
      ...(uetr === undefined ? {} : { uetr }),
    }
    return (side === 'ledger' ? ledgerItem : bankItem)(`${side}${at}`, amount, { ...given, ...references })
  }),
)

const anyOrder = anyItems.chain((items) =>
  fc.record({
    items: fc.constant(items),
    order: fc.shuffledSubarray(items, { minLength: items.length, maxLength: items.length }),
    again: fc.subarray(items),
    cuts: fc.array(fc.boolean(), { minLength: items.length, maxLength: items.length }),
  }),
)

describe('neither order nor portions nor repetition change the outcome', () => {
  test('for any items', () => {
    fc.assert(
      fc.property(anyOrder, ({ items, order, again, cuts }) => {
        const matcher = new Matcher(passes)
        const standing = new Set<string>()
        const settle = () => {
          const { matched, unmatched } = matcher.settle()
          for (const match of unmatched) expect(standing.delete(nameOf(match))).toBe(true)
          for (const match of matched) standing.add(nameOf(match))
        }
        order.forEach((item, at) => {
          matcher.add(item)
          if (cuts[at]) settle()
        })
        settle()
        for (const item of again) expect(matcher.add(item)).toBe('known')
        settle()
        const expected = outcomeOf(items)
        expect(outcome(matcher)).toEqual(expected)
        expect([...standing].sort()).toEqual(expected.matches)
      }),
      { numRuns: 1_000 },
    )
  })

  test('when items are taken out and given back in between', () => {
    fc.assert(
      fc.property(anyOrder, fc.nat(), ({ items, order }, seed) => {
        const matcher = new Matcher(passes)
        const cut = seed % items.length
        const taken = order.slice(0, cut).map(({ id }) => id)
        for (const item of order.slice(0, cut)) matcher.add(item)
        matcher.settle()
        for (const id of taken) expect(matcher.take([id])).toBe(true)
        for (const item of order.slice(cut)) matcher.add(item)
        matcher.settle()
        expect(outcome(matcher)).toEqual(outcomeOf(order.slice(cut)))
        for (const id of taken) expect(matcher.giveBack([id])).toBe(true)
        matcher.settle()
        expect(outcome(matcher)).toEqual(outcomeOf(items))
      }),
      { numRuns: 300 },
    )
  })

  test('and every match adds up, uses an item once, and leaves nothing out', () => {
    fc.assert(
      fc.property(anyItems, (items) => {
        const matcher = new Matcher(passes)
        for (const item of items) matcher.add(item)
        matcher.settle()
        const used = [...matcher.open()].map(({ id }) => id)
        for (const match of matcher.matches()) {
          used.push(...[...match.ledger, ...match.bank].map(({ id }) => id))
          const sum = (side: readonly MatchItem[]) =>
            side.reduce((total, item) => total + item.amountMinor, 0n)
          expect(sum(match.ledger) - sum(match.bank)).toBe(match.differenceMinor)
          if (match.differenceMinor !== 0n) expect(match.pass).toBe('tolerance:endToEndId')
        }
        expect(used.sort()).toEqual(items.map(({ id }) => id).sort())
      }),
      { numRuns: 500 },
    )
  })
})
