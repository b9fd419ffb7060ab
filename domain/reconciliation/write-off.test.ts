/** Write-offs and disputes: what is posted, who may, what follows from the ledger's answer, and that it all comes back from the history. */
import { describe, expect, test } from 'vitest'
import type { BreakCommand, BreakEvent, Resolution } from '#domain/breaks/break-life.ts'
import type { MatchItem } from '#domain/matching/item.ts'
import { type PairSettings, pairSettings } from '#domain/matching/pair.ts'
import { bankItem, ledgerItem } from '#domain/matching/testing/item-fixture.ts'
import { validateTransaction } from '#domain/transactions/validate.ts'
import { disputeId } from './hands.ts'
import { type PairDelta, type PairInput, PairState } from './pair-state.ts'
import { writeOffCommand } from './write-off.ts'

const settings: PairSettings = pairSettings(new Map([['DE02', 'nostro']]))
const none: PairInput = { items: [], statements: [], commands: [], nowMs: 102 * 86_400_000 }

const time = { nowMs: none.nowMs, futureToleranceMs: 0, occurredFromMs: null }

/** A state and everything that it wrote. */
class Pair {
  state = new PairState(settings)
  readonly items: MatchItem[] = []
  readonly events: { id: string; event: BreakEvent }[] = []
  #commands = 0

  take(input: Partial<PairInput>): PairDelta {
    const delta = this.state.apply({ ...none, ...input })
    this.items.push(...delta.items)
    this.events.push(...delta.breaks)
    return delta
  }

  /** @returns why it had no effect; null = it had */
  ask(subject: string, command: BreakCommand) {
    this.#commands += 1
    const id = `c${this.#commands}`
    return this.take({ commands: [{ id, pair: 'p', subject, command }] }).commands[0]!.refusal
  }

  propose(subject: string, resolution: Resolution, actor = 'ann') {
    return this.ask(subject, { type: 'propose', resolution, reason: 'seen', actor })
  }

  restart(): void {
    const before = { breaks: this.state.breaks(), matches: this.state.matches() }
    this.state = new PairState(settings)
    const matches = this.state.restore({
      items: this.items,
      statements: [],
      events: this.events,
      commands: [],
    })
    expect(this.state.breaks()).toEqual(before.breaks)
    expect(new Set(matches)).toEqual(new Set(before.matches))
    this.take({})
  }

  status(id: string) {
    return this.state.breaks().get(id)?.status
  }
}

const differing = [ledgerItem('L1', 700, { endToEndId: 'A01' }), bankItem('B1', 650, { endToEndId: 'A01' })]
const writeOff = (ledger: string[], bank: string[], account = 'fees') =>
  ({ kind: 'write_off', account, ledger, bank }) as const
const both = writeOff(['L1'], ['B1'])

/** A pair with a write-off under way. */
function underWay(): Pair {
  const pair = new Pair()
  pair.take({ items: differing })
  expect(pair.propose('L1', both)).toBeNull()
  expect(pair.ask('L1', { type: 'approve', actor: 'bob' })).toBeNull()
  return pair
}

describe('a write-off', () => {
  test('posts the difference once two have agreed, as a transaction that the ledger takes', () => {
    const pair = underWay()
    expect(pair.status('L1')).toBe('posting')
    const [pending] = pair.state.writeOffs()
    expect(pending).toMatchObject({ breakId: 'L1', maker: 'ann', checker: 'bob', reason: 'seen' })
    const command = writeOffCommand(pending!.writeOff, { ...pending!, pair: 'p' })
    expect(command).toMatchObject({
      source: 'reconciliation',
      occurredAt: none.nowMs,
      // 0.50 less arrived than the ledger says: a loss.
      postings: [{ debit: 'fees', credit: 'nostro', amount: 50n, currency: 'EUR' }],
      actor: 'bob',
      metadata: { pair: 'p', maker: 'ann', checker: 'bob', reason: 'seen' },
    })
    expect(validateTransaction(command, time)).toBeNull()
  })

  test.each([
    ['only the bank has it: the ledger gets it', [bankItem('B1', -30)], writeOff([], ['B1']), 'fees', 30n],
    ['only the ledger has it: it is taken out', [ledgerItem('L1', -30)], writeOff(['L1'], []), 'nostro', 30n],
    [
      'several',
      [ledgerItem('L1', 10), ledgerItem('L2', 20), bankItem('B1', 35)],
      writeOff(['L1', 'L2'], ['B1']),
      'nostro',
      5n,
    ],
  ])('%s', (_name, items, resolution, debit, amount) => {
    const pair = new Pair()
    pair.take({ items })
    const { id } = items[0]!
    pair.propose(id, resolution)
    pair.ask(id, { type: 'approve', actor: 'bob' })
    expect(pair.state.writeOffs()[0]!.writeOff).toMatchObject({ debit, amountMinor: String(amount) })
  })

  test('closes with the entry that it made; neither that nor what was written off is matched again', () => {
    const pair = underWay()
    const posted = pair.state.writeOffs()[0]!.writeOff
    pair.restart()
    pair.take({
      items: [ledgerItem('L9', -50)],
      postings: [{ transactionId: posted.transactionId, outcome: { entries: ['L9'] } }],
    })
    expect(pair.status('L1')).toBe('closed')
    expect(pair.state.breaks().get('L1')!.ending).toMatchObject({
      resolution: both,
      maker: 'ann',
      checker: 'bob',
      entries: ['L9'],
    })
    expect(pair.state.writeOffs()).toEqual([])
    pair.restart()
    expect(pair.take({ items: [bankItem('B9', -50)] }).matched).toEqual([])
    expect(pair.ask('L1', { type: 'reopen', kind: 'amount', reason: 'x', actor: 'cid' })).toBe('written_off')
  })

  test('opens again where the ledger refuses; the items are free again, and a second one is another transaction', () => {
    const pair = underWay()
    const first = pair.state.writeOffs()[0]!.writeOff.transactionId
    const refused = { transactionId: first, outcome: { refused: 'unknown_account' } }
    pair.take({ postings: [refused] })
    expect(pair.status('L1')).toBe('open')
    expect(pair.events.map(({ event }) => event)).toContainEqual(
      expect.objectContaining({ type: 'posting_failed', reason: 'unknown_account' }),
    )
    expect(pair.status('B1')).toBe('open')
    pair.restart()
    pair.take({ postings: [refused] })
    expect(pair.propose('L1', both)).toBeNull()
    expect(pair.ask('L1', { type: 'approve', actor: 'bob' })).toBeNull()
    expect(pair.state.writeOffs()[0]!.writeOff.transactionId).not.toBe(first)
  })

  test('while it is under way nothing else may be decided, and nothing that arrives takes its items', () => {
    const pair = underWay()
    expect(pair.take({ items: [bankItem('B2', 700, { endToEndId: 'A01' })] }).matched).toEqual([])
    expect(pair.propose('L1', { kind: 'ignore' })).toBe('posting_under_way')
    expect(pair.ask('L1', { type: 'approve', actor: 'cid' })).toBe('posting_under_way')
    expect(pair.propose('B1', { kind: 'ignore' })).toBe('break_closed')
    expect(pair.ask('L1', { type: 'note', text: 'waiting', actor: 'ann' })).toBeNull()
  })

  test.each([
    ['maker_is_checker', both, 'ann'],
    ['items_taken', writeOff(['L1', 'L1'], []), 'bob'],
    ['items_taken', writeOff(['L8'], []), 'bob'],
    ['accounts_differ', writeOff(['L1'], ['B3']), 'bob'],
    ['account_of_pair', writeOff(['L1'], [], 'nostro'), 'bob'],
    ['nothing_to_post', writeOff(['L1'], ['B4', 'B1']), 'bob'],
  ])('refused: %s', (refusal, resolution, checker) => {
    const pair = new Pair()
    pair.take({
      items: [...differing, bankItem('B3', 650, { currency: 'USD' }), bankItem('B4', 50)],
    })
    expect(pair.propose('L1', resolution)).toBeNull()
    expect(pair.ask('L1', { type: 'approve', actor: checker })).toBe(refusal)
    expect(pair.status('L1')).toBe('proposed')
    expect(pair.state.writeOffs()).toEqual([])
  })
})

describe('a disputed match', () => {
  const items = [ledgerItem('L1', 500), bankItem('B1', 500)]
  const unmatch = { kind: 'unmatch', ledger: ['L1'], bank: ['B1'] } as const

  function matched(): { pair: Pair; id: string } {
    const pair = new Pair()
    const id = disputeId(pair.take({ items }).matched[0]!.id)
    return { pair, id }
  }

  test('is parted by two people, and not matched again by itself, also after a restart', () => {
    const { pair, id } = matched()
    expect(pair.propose(id, unmatch)).toBeNull()
    expect(pair.state.breaks().get(id)).toMatchObject({ kind: 'disputed', related: ['L1', 'B1'] })
    expect(pair.state.matches()).toHaveLength(1)
    expect(pair.ask(id, { type: 'approve', actor: 'ann' })).toBe('maker_is_checker')
    expect(pair.ask(id, { type: 'approve', actor: 'bob' })).toBeNull()
    expect(pair.state.matches()).toEqual([])
    expect([pair.status('L1'), pair.status('B1')]).toEqual(['open', 'open'])
    pair.restart()
    pair.take({ items: [ledgerItem('L2', 1)] })
    expect(pair.state.matches()).toEqual([])
  })

  test('may match again once a third person has undone it', () => {
    const { pair, id } = matched()
    pair.propose(id, unmatch)
    pair.ask(id, { type: 'approve', actor: 'bob' })
    expect(pair.ask(id, { type: 'reopen', kind: 'disputed', reason: 'was right', actor: 'cid' })).toBeNull()
    expect(pair.state.matches()).toHaveLength(1)
    expect(pair.status(id)).toBe('closed')
    pair.restart()
    expect(pair.propose(id, unmatch)).toBeNull()
    expect(pair.ask(id, { type: 'approve', actor: 'bob' })).toBeNull()
    expect(pair.state.matches()).toEqual([])
  })

  test('a refusal lets the match stand; what ends by itself needs no dispute', () => {
    const { pair, id } = matched()
    pair.propose(id, unmatch)
    expect(pair.ask(id, { type: 'refuse', reason: 'right', actor: 'bob' })).toBeNull()
    expect([pair.status(id), pair.state.matches().length]).toEqual(['closed', 1])
    pair.propose(id, unmatch)
    pair.take({ items: [bankItem('B2', 500)] })
    expect(pair.state.breaks().get(id)!.ending).toEqual({ by: 'cleared', why: 'the match was taken back' })
  })

  test('only a match that stands can be disputed, and a break in no such way', () => {
    const { pair, id } = matched()
    expect(pair.propose(disputeId('0'.repeat(32)), unmatch)).toBe('match_unknown')
    expect(pair.propose(id, { ...unmatch, bank: ['B2'] })).toBe('match_unknown')
    expect(pair.propose(id, { kind: 'ignore' })).toBe('resolution_unfit')
    expect(pair.propose('L1', unmatch)).toBe('resolution_unfit')
    expect(pair.status(id)).toBeUndefined()
  })
})
