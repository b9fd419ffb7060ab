/** The life of a break: four eyes, nothing deleted, late arrivals, and that any sequence of commands keeps the rules. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type BreakCommand,
  type BreakEvent,
  type BreakState,
  decideBreak,
  evolveBreak,
  type Observation,
  observeBreak,
} from './break-life.ts'

const fold = (events: readonly BreakEvent[], start: BreakState | null = null) =>
  events.reduce<BreakState | null>(evolveBreak, start)!

const missing: Observation = { kind: 'missing_in_bank', related: [] }
const opened = fold(observeBreak(null, missing, 1))
const ignore = { kind: 'ignore' } as const

/** The state after commands that are all accepted. */
function stateAfter(commands: readonly BreakCommand[], start = opened): BreakState {
  return commands.reduce((state, command) => {
    const decision = decideBreak(state, command, 2)
    if ('refusal' in decision) throw new Error(decision.refusal)
    return fold(decision.events, state)
  }, start)
}

const proposed = stateAfter([{ type: 'propose', resolution: ignore, reason: 'small', actor: 'ann' }])

describe('four eyes', () => {
  test('who proposed may not approve; another one may', () => {
    expect(decideBreak(proposed, { type: 'approve', actor: 'ann' }, 2)).toEqual({
      refusal: 'maker_is_checker',
    })
    const closed = stateAfter([{ type: 'approve', actor: 'bob' }], proposed)
    expect(closed).toMatchObject({
      status: 'closed',
      ending: { by: 'resolution', resolution: ignore, maker: 'ann', checker: 'bob' },
    })
  })

  test('a refused proposal opens the break again, with the reason in its history', () => {
    const open = stateAfter([{ type: 'refuse', reason: 'too large', actor: 'bob' }], proposed)
    expect(open).toMatchObject({ status: 'open', proposal: null })
    expect(open.history.at(-1)).toMatchObject({ type: 'refused', reason: 'too large', actor: 'bob' })
  })

  test('a resolution is undone by somebody other than who approved it', () => {
    const closed = stateAfter([{ type: 'approve', actor: 'bob' }], proposed)
    const reopen = { type: 'reopen', kind: 'amount', reason: 'wrong', actor: 'bob' } as const
    expect(decideBreak(closed, reopen, 3)).toEqual({ refusal: 'maker_is_checker' })
    expect(stateAfter([{ ...reopen, actor: 'cid' }], closed)).toMatchObject({
      status: 'open',
      kind: 'amount',
    })
  })
})

describe('what is refused', () => {
  test.each([
    ['actor_missing', opened, { type: 'note', text: 'x', actor: '' }],
    ['break_unknown', null, { type: 'note', text: 'x', actor: 'ann' }],
    ['text_missing', opened, { type: 'note', text: ' ', actor: 'ann' }],
    ['text_too_long', opened, { type: 'note', text: 'x'.repeat(2_001), actor: 'ann' }],
    ['text_missing', opened, { type: 'propose', resolution: ignore, reason: '', actor: 'ann' }],
    ['already_proposed', proposed, { type: 'propose', resolution: ignore, reason: 'x', actor: 'bob' }],
    ['nothing_proposed', opened, { type: 'approve', actor: 'bob' }],
    ['nothing_proposed', opened, { type: 'refuse', reason: 'x', actor: 'bob' }],
    ['break_not_closed', opened, { type: 'reopen', kind: 'amount', reason: 'x', actor: 'bob' }],
    [
      'items_missing',
      opened,
      { type: 'propose', resolution: { kind: 'match', ledger: ['L'], bank: [] }, reason: 'x', actor: 'bob' },
    ],
  ] as const)('%s', (refusal, state, command) => {
    expect(decideBreak(state, command, 2)).toEqual({ refusal })
  })

  test('a closed break takes notes only', () => {
    const closed = stateAfter([{ type: 'approve', actor: 'bob' }], proposed)
    expect(decideBreak(closed, { type: 'assign', owner: 'ann', actor: 'ann' }, 2)).toEqual({
      refusal: 'break_closed',
    })
    expect(stateAfter([{ type: 'note', text: 'seen', actor: 'ann' }], closed).status).toBe('closed')
  })
})

describe('what matching says', () => {
  test('a late arrival closes it, and its end opens it again', () => {
    const late = fold(observeBreak(opened, { ending: { by: 'match', match: 'm1' } }, 2), opened)
    expect(late).toMatchObject({ status: 'closed', ending: { by: 'match', match: 'm1' } })
    const again = fold(observeBreak(late, missing, 3), late)
    expect(again).toMatchObject({ status: 'open', kind: 'missing_in_bank', openedAtMs: 1 })
    expect(again.history.map(({ type }) => type)).toEqual(['opened', 'closed', 'reopened'])
  })

  test('the same again says nothing; another kind changes it', () => {
    expect(observeBreak(opened, missing, 2)).toEqual([])
    const changed = fold(observeBreak(opened, { kind: 'amount', related: ['B1'] }, 2), opened)
    expect(changed).toMatchObject({ status: 'open', kind: 'amount', related: ['B1'] })
  })

  test('what people resolved stays so', () => {
    const closed = stateAfter([{ type: 'approve', actor: 'bob' }], proposed)
    expect(observeBreak(closed, missing, 3)).toEqual([])
  })
})

const anyActor = fc.constantFrom('ann', 'bob', 'cid')
const anyCommand: fc.Arbitrary<BreakCommand> = fc.oneof(
  fc.record({ type: fc.constant('note' as const), text: fc.constantFrom('a', ''), actor: anyActor }),
  fc.record({ type: fc.constant('assign' as const), owner: fc.constantFrom('ann', null), actor: anyActor }),
  fc.record({
    type: fc.constant('propose' as const),
    resolution: fc.constant(ignore),
    reason: fc.constant('r'),
    actor: anyActor,
  }),
  fc.record({ type: fc.constant('approve' as const), actor: anyActor }),
  fc.record({ type: fc.constant('refuse' as const), reason: fc.constant('r'), actor: anyActor }),
  fc.record({
    type: fc.constant('reopen' as const),
    kind: fc.constant('amount' as const),
    reason: fc.constant('r'),
    actor: anyActor,
  }),
)

test('whatever is asked for: no resolution by one person alone, history only grows, and the state is its fold', () => {
  fc.assert(
    fc.property(fc.array(anyCommand, { maxLength: 30 }), (commands) => {
      let state = opened
      for (const command of commands) {
        const decision = decideBreak(state, command, 2)
        if ('refusal' in decision) continue
        const next = fold(decision.events, state)
        expect(next.history.slice(0, state.history.length)).toEqual(state.history)
        state = next
        if (state.ending?.by === 'resolution') expect(state.ending.maker).not.toBe(state.ending.checker)
        expect(state.status === 'proposed').toBe(state.proposal !== null)
        expect(state.status === 'closed').toBe(state.ending !== null)
      }
      expect(fold(state.history)).toEqual(state)
    }),
  )
})
