/** Administrative commands: applied once for their id, whatever the cuts; refused with a reason, never thrown. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { AdministrativeCommand } from '../transactions/command.ts'
import { commandContent } from './commands.ts'
import { deadLetterName, deadLetterPosition } from './dead-letters.ts'
import type { CommandInput, UnreadableInput } from './inputs.ts'
import { administrative, MemoryLedger } from './testing/memory-ledger.ts'

const letterAt = (offset: bigint): UnreadableInput => ({
  type: 'dead',
  topic: 'transactions',
  partition: 0,
  offset,
  letter: {
    reason: 'json_invalid',
    detail: 'expected one JSON value',
    key: null,
    value: Buffer.from('{'),
    valueBytes: 1,
    valueSha256: Buffer.alloc(32),
    contentType: null,
  },
})
const discard = (id: string, offset: bigint, changes: Partial<AdministrativeCommand> = {}): CommandInput =>
  administrative({ id, subject: `transactions:0:${offset}`, ...changes })
const retried = (id: string, offset: bigint, changes: Partial<AdministrativeCommand> = {}): CommandInput =>
  discard(id, offset, {
    kind: 'dead_letter.retried',
    parameters: { topic: 'transactions', partition: '3', offset: '99' },
    ...changes,
  })

const decide = (...inputs: (CommandInput | UnreadableInput)[]): string[] => {
  const ledger = new MemoryLedger()
  ledger.apply(inputs)
  return ledger.commandEffects.map(({ outcome, refusal }) => refusal ?? outcome)
}

describe('a command', () => {
  it('is applied once for its id; the same again is a duplicate, also from somebody else', () => {
    const again = discard('c1', 0n, { actor: 'colleague', occurredAt: 5 })
    expect(decide(letterAt(0n), discard('c1', 0n), again)).toEqual(['applied', 'duplicate'])
  })

  it('with an id that other content took is refused', () => {
    const other = discard('c1', 0n, { reason: 'another one' })
    expect(decide(letterAt(0n), discard('c1', 0n), other)).toEqual(['applied', 'id_conflict'])
  })

  it('that was refused has taken its id as well', () => {
    expect(decide(discard('c1', 0n), letterAt(0n), discard('c1', 0n))).toEqual([
      'dead_letter_unknown',
      'duplicate',
    ])
  })

  it.each(['unknown', '', 'constructor', '__proto__', 'dead_letter.burn'])(
    'of the kind %j is unknown_command',
    (kind) => expect(decide(administrative({ kind }))).toEqual(['unknown_command']),
  )

  const long = 'x'.repeat(600)
  it.each<[string, Partial<AdministrativeCommand>, string]>([
    ['without an id', { id: '' }, 'id_invalid'],
    ['with a long id', { id: 'x'.repeat(65) }, 'id_invalid'],
    ['that nobody sends', { actor: '' }, 'id_invalid'],
    ['with a card number as reason', { reason: 'card 4111111111111111' }, 'card_number_refused'],
    ['with a card number as parameter', { parameters: { pan: '4111111111111111' } }, 'card_number_refused'],
    ['with a long reason', { reason: long }, 'field_too_long'],
    ['with a long parameter', { parameters: { note: long } }, 'field_too_long'],
    ['with a long kind', { kind: long }, 'field_too_long'],
    ['about nothing', { subject: '' }, 'subject_invalid'],
  ])('%s is refused, leaves no more than its bounded self, and takes no id', (_label, changes, reason) => {
    const ledger = new MemoryLedger()
    ledger.apply([administrative(changes), administrative()])
    expect(ledger.commandEffects.map(({ refusal }) => refusal)).toEqual([reason, 'dead_letter_unknown'])
    const [{ command, claims }] = ledger.commandEffects as [(typeof ledger.commandEffects)[number]]
    expect(claims).toBe(false)
    expect(JSON.stringify(command)).not.toContain('4111111111111111')
    expect(JSON.stringify(command).length).toBeLessThan(700)
  })

  it('has a content that doesn’t depend on the order of its parameters', () => {
    const [one, other] = [
      { a: '1', b: '2' },
      { b: '2', a: '1' },
    ].map((parameters) => commandContent(administrative({ parameters }).command))
    expect(one).toBe(other)
    expect(commandContent(administrative({ parameters: { a: '1', b: '3' } }).command)).not.toBe(one)
  })
})

describe('a dead letter', () => {
  it('is open until it is discarded, which is final but for the fact that it was published again', () => {
    const outcomes = decide(
      letterAt(0n),
      discard('c1', 0n),
      discard('c2', 0n),
      retried('c3', 0n),
      discard('c4', 0n),
    )
    expect(outcomes).toEqual(['applied', 'dead_letter_closed', 'applied', 'dead_letter_closed'])
  })

  it('retried twice was published twice', () => {
    expect(decide(letterAt(0n), retried('c1', 0n), retried('c2', 0n))).toEqual(['applied', 'applied'])
  })

  it('that isn’t there is unknown', () => {
    expect(decide(letterAt(0n), discard('c1', 1n))).toEqual(['dead_letter_unknown'])
    expect(decide(discard('c1', 0n, { subject: 'transactions:0:00' }))).toEqual(['dead_letter_unknown'])
  })

  it('published again somewhere must say where', () => {
    const parameters = { topic: 'transactions', partition: '0', offset: 'x' }
    expect(decide(letterAt(0n), retried('c1', 0n, { parameters }))).toEqual(['parameters_invalid'])
  })

  it('is decided the same wherever batches are cut', () => {
    const inputs = [
      letterAt(0n),
      discard('c1', 0n),
      retried('c2', 1n),
      letterAt(1n),
      retried('c3', 1n),
      discard('c1', 0n),
      discard('c4', 1n),
      discard('c1', 1n),
    ]
    const whole = decide(...inputs)
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 8 }), { minLength: 1, maxLength: 8 }), (cuts) => {
        const ledger = new MemoryLedger()
        ledger.apply(inputs, cuts)
        expect(ledger.commandEffects.map(({ outcome, refusal }) => refusal ?? outcome)).toEqual(whole)
      }),
    )
  })

  it('has a name that gives its position back', () => {
    const position = { topic: 'transactions', partition: 7, offset: 123_456_789_012n }
    expect(deadLetterPosition(deadLetterName(position))).toEqual(position)
    for (const name of [
      '',
      'transactions',
      'transactions:1',
      'transactions:1:x',
      'a b:1:2',
      't:01:2',
      't:1:-2',
    ])
      expect(deadLetterPosition(name)).toBeNull()
  })
})

describe('a position', () => {
  const at = (offset: bigint, ...inputs: CommandInput[]) => {
    const ledger = new MemoryLedger()
    ledger.positions.set('transactions:3', offset)
    ledger.apply(inputs)
    const outcomes = ledger.commandEffects.map(({ outcome, refusal }) => refusal ?? outcome)
    return { outcomes, position: ledger.positions.get('transactions:3'), letters: ledger.deadLetters }
  }
  const set = (
    kind: string,
    parameters: Record<string, string>,
    changes: Partial<AdministrativeCommand> = {},
  ) => administrative({ id: randomId(), kind, subject: 'transactions:3', parameters, ...changes })
  let ids = 0
  const randomId = () => `position-${ids++}`

  it('is skipped forward only, from where it is; what was passed is a dead letter', () => {
    const good = at(5n, set('partition.skip', { from: '5', to: '9' }))
    expect(good).toMatchObject({ outcomes: ['applied'], position: 9n })
    expect(good.letters).toEqual(new Map([['transactions:3:8', 'open']]))
    for (const [parameters, refusal] of [
      [{ from: '4', to: '9' }, 'position_changed'],
      [{ from: '5', to: '4' }, 'parameters_invalid'],
      [{ from: '5', to: '5' }, 'parameters_invalid'],
      [{ from: '5' }, 'parameters_invalid'],
      [{ from: '5', to: '-1' }, 'parameters_invalid'],
    ] as [Record<string, string>, string][]) {
      const bad = at(5n, set('partition.skip', parameters))
      expect(bad).toMatchObject({ outcomes: [refusal], position: 5n })
      expect(bad.letters.size).toBe(0)
    }
  })

  it('is moved in both directions, once', () => {
    expect(at(5n, set('partition.move', { from: '5', to: '0' }))).toMatchObject({
      outcomes: ['applied'],
      position: 0n,
    })
    const twice = at(
      5n,
      set('partition.move', { from: '5', to: '9' }),
      set('partition.move', { from: '5', to: '7' }),
    )
    expect(twice).toMatchObject({ outcomes: ['applied', 'position_changed'], position: 9n })
  })

  it('that nobody knows, or that the command came by, is not', () => {
    const parameters = { from: '0', to: '9' }
    for (const [subject, refusal] of [
      ['transactions:4', 'position_changed'],
      ['commands:0', 'subject_invalid'],
      ['transactions', 'subject_invalid'],
    ]) {
      expect(at(5n, set('partition.move', parameters, { subject: subject! })).outcomes).toEqual([refusal])
    }
  })
})
