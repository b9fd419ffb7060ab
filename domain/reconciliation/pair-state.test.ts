/** A pair of sources over time: what each arrival changes, what people decide, and that it all comes back from what was written down. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { BreakCommand, Resolution } from '#domain/breaks/break-life.ts'
import { pairSettings } from '#domain/matching/pair.ts'
import { bankItem, ledgerItem } from '#domain/matching/testing/item-fixture.ts'
import { fromMinor } from '#domain/statements/decimal.ts'
import { parseBreakCommand } from './commands.ts'
import {
  type PairDelta,
  type PairInput,
  PairState,
  type PairStatement,
  type StoredPair,
} from './pair-state.ts'

const settings = pairSettings()
const DAY_MS = 86_400_000
const nowOf = (day: number) => day * DAY_MS
const none: PairInput = { items: [], statements: [], commands: [], nowMs: nowOf(102) }

let commands = 0
const commandOf = (subject: string, command: BreakCommand) => {
  commands += 1
  return { id: `c${commands}`, pair: 'p', subject, command }
}
const breaksOf = ({ breaks }: PairDelta) => breaks.map(({ id, event }) => `${id} ${event.type}`)
const statusOf = (state: PairState) =>
  Object.fromEntries(
    [...state.breaks()].map(([id, { status, kind }]) => [id, status === 'closed' ? status : kind]),
  )

const reference = { endToEndId: 'A01' }
const ledger = ledgerItem('L1', 500, reference)
const bank = bankItem('B1', 500, { ...reference, day: 102 })

describe('what comes', () => {
  test('first one side, then the other: a timing break closes by itself', () => {
    const state = new PairState(settings)
    expect(breaksOf(state.apply({ ...none, items: [ledger] }))).toEqual(['L1 opened'])
    expect(statusOf(state)).toEqual({ L1: 'timing' })
    const { matched, breaks } = state.apply({ ...none, items: [bank] })
    expect(matched).toMatchObject([{ pass: 'reference:endToEndId', ledger: ['L1'], bank: ['B1'] }])
    expect(breaks).toMatchObject([
      { id: 'L1', event: { type: 'closed', ending: { by: 'match', match: matched[0]!.id } } },
    ])
  })

  test('both together make no break', () => {
    expect(breaksOf(new PairState(settings).apply({ ...none, items: [bank, ledger] }))).toEqual([])
  })

  test('while more is there to be read no break opens; the rest does once nothing is left', () => {
    const state = new PairState(settings)
    const behind = { ...none, isBehind: true }
    expect(breaksOf(state.apply({ ...behind, items: [ledger, ledgerItem('L2', 700)] }))).toEqual([])
    expect(breaksOf(state.apply({ ...behind, items: [bank] }))).toEqual([])
    expect(state.isDeferring).toBe(true)
    expect(breaksOf(state.apply(none))).toEqual(['L2 opened'])
    expect(state.isDeferring).toBe(false)
    // A break that is there is closed at once.
    expect(breaksOf(state.apply({ ...behind, items: [bankItem('B2', 700)] }))).toEqual(['L2 closed'])
  })

  test('days pass: what was late is missing', () => {
    const state = new PairState(settings)
    state.apply({ ...none, items: [ledger] })
    expect(breaksOf(state.apply({ ...none, nowMs: nowOf(104) }))).toEqual([])
    const late = state.apply({ ...none, nowMs: nowOf(106) })
    expect(breaksOf(late)).toEqual(['L1 changed', 'L1 escalated'])
    expect(late.breaks[1]!.event).toMatchObject({ severity: 'medium', ageDays: 6 })
    expect(statusOf(state)).toEqual({ L1: 'missing_in_bank' })
  })

  test('an alarm is raised once: by age, by amount, and where it opens again as grave as before it was', () => {
    const state = new PairState(settings)
    const large = ledgerItem('L2', 10_000_000)
    const severities = ({ breaks }: PairDelta) =>
      breaks.flatMap(({ id, event }) => (event.type === 'escalated' ? [`${id} ${event.severity}`] : []))
    expect(severities(state.apply({ ...none, items: [ledger, large] }))).toEqual(['L2 high'])
    expect(severities(state.apply({ ...none, nowMs: nowOf(106) }))).toEqual(['L1 medium'])
    expect(severities(state.apply({ ...none, nowMs: nowOf(107) }))).toEqual([])
    expect(severities(state.apply({ ...none, nowMs: nowOf(131) }))).toEqual(['L1 high'])
  })

  test('figures say what is open, how old, and who matched the rest', () => {
    const state = new PairState(settings)
    state.apply({ ...none, items: [ledger, bank, ledgerItem('L2', -700), bankItem('B3', 900, { day: 101 })] })
    expect(state.figures()).toEqual({
      items: 4,
      open: 2,
      openMinor: new Map([['EUR', 1_600n]]),
      oldestDays: 2,
      breaks: [{ kind: 'timing', severity: 'low', count: 2 }],
      matchedByPass: new Map([['reference:endToEndId', 2]]),
    })
    state.apply({ ...none, items: [bankItem('B4', 500, { ...reference, day: 102 })] })
    expect(state.figures().matchedByPass.get('reference:endToEndId')).toBe(0)
  })

  test('another amount on the other side changes the break of the one that waits', () => {
    const state = new PairState(settings)
    state.apply({ ...none, items: [ledger] })
    const delta = state.apply({ ...none, items: [bankItem('B1', 9_500, reference)] })
    expect(breaksOf(delta)).toEqual(['B1 opened', 'L1 changed'])
    expect(statusOf(state)).toEqual({ L1: 'amount', B1: 'amount' })
  })

  test('again, and with other content', () => {
    const state = new PairState(settings)
    state.apply({ ...none, items: [ledger] })
    const delta = state.apply({ ...none, items: [ledger, ledgerItem('L1', 501, reference)] })
    expect(delta).toMatchObject({ items: [], conflicts: ['L1'], matched: [], breaks: [] })
  })
})

describe('statements', () => {
  const statement = (key: string, date: string, opening: number, closing: number): PairStatement => ({
    key,
    account: 'nostro',
    currency: 'EUR',
    sequence: null,
    opening: { amount: fromMinor(BigInt(opening), 2), date },
    closing: { amount: fromMinor(BigInt(closing), 2), date },
    proof: 'ok',
    controls: 'n/a',
  })

  test('a gap is a break until the missing one comes', () => {
    const state = new PairState(settings)
    const [first, second, third] = [
      statement('s1', '2026-03-02', 0, 5),
      statement('s2', '2026-03-03', 5, 9),
      statement('s3', '2026-03-04', 9, 9),
    ]
    expect(breaksOf(state.apply({ ...none, statements: [first!, third!] }))).toEqual(['gap:s1:s3 opened'])
    expect(breaksOf(state.apply({ ...none, statements: [third!] }))).toEqual([])
    expect(breaksOf(state.apply({ ...none, statements: [second!] }))).toEqual(['gap:s1:s3 closed'])
  })

  test('wrong arithmetic stays a break until somebody resolves it', () => {
    const state = new PairState(settings)
    const wrong = { ...statement('s1', '2026-03-02', 0, 5), proof: 'mismatch' as const }
    expect(breaksOf(state.apply({ ...none, statements: [wrong] }))).toEqual(['arithmetic:s1:balances opened'])
    const ignore = [
      { type: 'propose', resolution: { kind: 'ignore' }, reason: 'known to the bank', actor: 'ann' },
      { type: 'approve', actor: 'bob' },
    ] as const
    for (const command of ignore) {
      state.apply({ ...none, commands: [commandOf('arithmetic:s1:balances', command)] })
    }
    expect(statusOf(state)).toEqual({ 'arithmetic:s1:balances': 'closed' })
  })
})

const resolve = (state: PairState, subject: string, resolution: Resolution) => [
  state.apply({
    ...none,
    commands: [commandOf(subject, { type: 'propose', resolution, reason: 'seen', actor: 'ann' })],
  }),
  state.apply({ ...none, commands: [commandOf(subject, { type: 'approve', actor: 'bob' })] }),
]

describe('what people decide', () => {
  const differing = [ledgerItem('L1', 500), bankItem('B1', 480), ledgerItem('L2', 480)]

  test('a match of their own takes the items out, closes both breaks, and can be undone', () => {
    const state = new PairState(settings)
    state.apply({ ...none, items: differing })
    expect(state.matches()).toMatchObject([{ ledger: ['L2'], bank: ['B1'] }])
    const [, approved] = resolve(state, 'L1', { kind: 'match', ledger: ['L1'], bank: ['B1'] })
    expect(approved!.unmatched).toMatchObject([{ ledger: ['L2'], bank: ['B1'] }])
    expect(statusOf(state)).toEqual({ L1: 'closed', L2: 'timing' })
    const reopen = { type: 'reopen', kind: 'amount', reason: 'wrong', actor: 'ann' } as const
    const undone = state.apply({ ...none, commands: [commandOf('L1', reopen)] })
    expect(undone.matched).toMatchObject([{ ledger: ['L2'], bank: ['B1'] }])
    expect(statusOf(state)).toEqual({ L1: 'timing', L2: 'closed' })
  })

  test('a match of items that are not there, or twice the same, is refused and the proposal stands', () => {
    const state = new PairState(settings)
    state.apply({ ...none, items: differing })
    for (const bankIds of [['B9'], ['B1', 'B1']]) {
      const [, refused] = resolve(state, 'L1', { kind: 'match', ledger: ['L1'], bank: bankIds })
      expect(refused!.commands).toMatchObject([{ refusal: 'items_taken' }])
      expect(state.breaks().get('L1')!.status).toBe('proposed')
      state.apply({
        ...none,
        commands: [commandOf('L1', { type: 'refuse', reason: 'no', actor: 'ann' })],
      })
    }
  })

  test('an ignored item matches nothing any more', () => {
    const state = new PairState(settings)
    state.apply({ ...none, items: [ledger] })
    resolve(state, 'L1', { kind: 'ignore' })
    expect(state.apply({ ...none, items: [bank] }).matched).toEqual([])
    expect(statusOf(state)).toEqual({ L1: 'closed', B1: 'timing' })
  })

  test('the same command again does nothing', () => {
    const state = new PairState(settings)
    state.apply({ ...none, items: [ledger] })
    const note = commandOf('L1', { type: 'note', text: 'asked the bank', actor: 'ann' })
    expect(breaksOf(state.apply({ ...none, commands: [note, note] }))).toEqual(['L1 noted'])
    expect(state.apply({ ...none, commands: [note] }).commands).toEqual([])
  })
})

test('commands are read from JSON or not at all', () => {
  expect(parseBreakCommand('note', '{"text":"x"}', 'ann')).toEqual({ type: 'note', text: 'x', actor: 'ann' })
  const match = { resolution: { kind: 'match', ledger: ['L'], bank: ['B'] }, reason: 'r' }
  expect(parseBreakCommand('propose', JSON.stringify(match), 'ann')).toMatchObject({
    type: 'propose',
    ...match,
  })
  for (const [kind, body] of [
    ['note', '{'],
    ['note', '{}'],
    ['note', '[]'],
    ['propose', '{"reason":"r","resolution":{"kind":"sell"}}'],
    ['reopen', '{"reason":"r","kind":"none"}'],
    ['sell', '{}'],
  ] as const) {
    expect(parseBreakCommand(kind, body, 'ann')).toBeNull()
  }
})

/** What a shell would have written down. */
class Written {
  items: PairDelta['items'][number][] = []
  statements: PairStatement[] = []
  events: StoredPair['events'] extends Iterable<infer E> ? E[] : never = []
  commands: string[] = []
  matches = new Set<string>()

  write(delta: PairDelta): void {
    this.items.push(...delta.items)
    this.statements.push(...delta.statements)
    this.events.push(...delta.breaks)
    this.commands.push(...delta.commands.map(({ id }) => id))
    for (const { id } of delta.unmatched) expect(this.matches.delete(id)).toBe(true)
    for (const { id } of delta.matched) this.matches.add(id)
  }
}

const anyItem = fc
  .record({
    side: fc.constantFrom('ledger' as const, 'bank' as const),
    amount: fc.constantFrom(100, 100, 200, -100),
    day: fc.integer({ min: 98, max: 102 }),
    endToEndId: fc.constantFrom(undefined, 'E01', 'E02'),
  })
  .map(({ side, amount, endToEndId, day }) => ({
    side,
    amount,
    given: { day, ...(endToEndId === undefined ? {} : { endToEndId }) },
  }))
const anyStep = fc.oneof(
  { weight: 3, arbitrary: fc.record({ item: anyItem }) },
  fc.record({ subject: fc.nat({ max: 8 }), type: fc.constantFrom('propose', 'approve', 'reopen') }),
)

test('at any moment the state comes back from what was written down, and goes on as it would have', () => {
  fc.assert(
    fc.property(
      fc.array(anyStep, { minLength: 2, maxLength: 25 }),
      fc.nat({ max: 24 }),
      (steps, restartAt) => {
        let state = new PairState(settings)
        const written = new Written()
        steps.forEach((step, at) => {
          if (at === restartAt) {
            state = new PairState(settings)
            const matches = state.restore(written)
            expect(new Set(matches.map(({ id }) => id))).toEqual(written.matches)
          }
          const items =
            'item' in step
              ? [
                  (step.item.side === 'ledger' ? ledgerItem : bankItem)(
                    `i${at}`,
                    step.item.amount,
                    step.item.given,
                  ),
                ]
              : []
          const made =
            'item' in step
              ? []
              : [
                  commandOf(
                    `i${step.subject}`,
                    {
                      propose: {
                        type: 'propose',
                        resolution: { kind: 'ignore' },
                        reason: 'r',
                        actor: 'ann',
                      } as const,
                      approve: { type: 'approve', actor: 'bob' } as const,
                      reopen: { type: 'reopen', kind: 'amount', reason: 'r', actor: 'cid' } as const,
                    }[step.type as 'propose'],
                  ),
                ]
          const isBehind = at % 3 === 1 && at < steps.length - 1
          written.write(state.apply({ ...none, items, commands: made, isBehind }))
        })
        const restored = new PairState(settings)
        restored.restore(written)
        expect(restored.breaks()).toEqual(state.breaks())
        expect(
          restored
            .matches()
            .map(({ id }) => id)
            .sort(),
        ).toEqual(
          state
            .matches()
            .map(({ id }) => id)
            .sort(),
        )
        // Whatever is open has a break that says so, unless somebody resolved it.
        for (const [id, { status }] of state.breaks()) {
          const isMatched = state.matches().some((match) => [...match.ledger, ...match.bank].includes(id))
          if (isMatched) expect(status).toBe('closed')
        }
      },
    ),
    { numRuns: 300 },
  )
})

test('in which order and portions both sides come says nothing about what is open in the end', () => {
  const items = fc
    .array(anyItem, { minLength: 2, maxLength: 16 })
    .map((drafts) =>
      drafts.map(({ side, amount, given }, at) =>
        (side === 'ledger' ? ledgerItem : bankItem)(`i${at}`, amount, given),
      ),
    )
  const orders = items.chain((list) =>
    fc.tuple(
      fc.constant(list),
      fc.shuffledSubarray(list, { minLength: list.length, maxLength: list.length }),
    ),
  )
  const open = (state: PairState) =>
    Object.fromEntries(
      [...state.breaks()].flatMap(([id, { status, kind, related }]) =>
        status === 'closed' ? [] : [[id, { kind, related }]],
      ),
    )
  fc.assert(
    fc.property(orders, ([list, order]) => {
      const once = new PairState(settings)
      once.apply({ ...none, items: list })
      const oneByOne = new PairState(settings)
      for (const item of order) oneByOne.apply({ ...none, items: [item] })
      expect(open(oneByOne)).toEqual(open(once))
    }),
    { numRuns: 300 },
  )
})
