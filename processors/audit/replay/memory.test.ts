/** The compact memories against plain maps: whatever is done to them, they say the same. */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { IdTable, type TakenId } from './id-table.ts'
import { TransactionMemory } from './transaction-memory.ts'

const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 32)

describe('ids', () => {
  it('are found again among many, with content, time and number', () => {
    const table = new IdTable()
    const count = 20_000
    for (let place = 0; place < count; place += 1) {
      table.set(
        hashOf(`key ${place}`),
        { content: hashOf(`content ${place}`), takenAtMs: Math.floor(place / 7) },
        place,
      )
    }
    expect(table.size).toBe(count)
    for (let place = 0; place < count; place += 1) {
      expect(table.numberOf(hashOf(`key ${place}`))).toBe(place)
    }
    expect(table.get(hashOf('key 19999'))).toEqual({ content: hashOf('content 19999'), takenAtMs: 2_857 })
    expect(table.get(hashOf('key 20000'))).toBeNull()
    expect(table.numberOf(hashOf('key 20000'))).toBe(-1)
    expect([...table.entries()].length).toBe(count)
  })

  it('behave as a map does', () => {
    const key = fc.integer({ min: 0, max: 40 }).map((number) => hashOf(String(number)))
    const step = fc.oneof(
      fc.record({ does: fc.constant('set' as const), key, number: fc.nat(2 ** 31), takenAtMs: fc.nat(5) }),
      fc.record({ does: fc.constant('forget' as const), key }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const table = new IdTable()
        const plain = new Map<string, TakenId & { number: number }>()
        for (const each of steps) {
          if (each.does === 'forget') {
            table.forget(each.key)
            plain.delete(each.key)
            continue
          }
          const { number, takenAtMs } = each
          const taken = { content: hashOf(`${number}`), takenAtMs }
          table.set(each.key, taken, number)
          plain.set(each.key, { ...taken, number })
        }
        expect(table.size).toBe(plain.size)
        const found = [...table.entries()].map(({ key: id, ...rest }) => [id, rest] as const)
        expect(new Map(found)).toEqual(plain)
      }),
    )
  })
})

const names = { account: (no: number) => ({ id: `a${no}`, currency: 'EUR' }), card: (no: number) => `c${no}` }
const taken = { content: hashOf('x'), takenAtMs: 1 }

describe('transactions', () => {
  it('keep what a reversal needs, and what was given back', () => {
    const memory = new TransactionMemory()
    const key = hashOf('t')
    memory.claim(hashOf('other'), taken)
    memory.post(hashOf('other'), 'exchange', null, [{ debitNo: 9, creditNo: 8, amount: 7n }])
    memory.claim(key, taken)
    expect(memory.parent(key, names)).toBeNull()
    memory.post(key, 'post', 0, [
      { debitNo: 1, creditNo: 2, amount: 2n ** 62n },
      { debitNo: 3, creditNo: 4, amount: 5n },
    ])
    memory.setReversed(key, 1, 3n)
    const posting = { currency: 'EUR', changed: false }
    expect(memory.parent(key, names)).toEqual({
      key,
      kind: 'post',
      card: 'c0',
      postings: [
        { ...posting, posting: 0, debit: 'a1', credit: 'a2', amount: 2n ** 62n, reversed: 0n },
        { ...posting, posting: 1, debit: 'a3', credit: 'a4', amount: 5n, reversed: 3n },
      ],
    })
    expect(memory.closedHold(key)).toBeNull()
  })

  it('know a hold that is over, also one that was released and posted', () => {
    const memory = new TransactionMemory()
    const [voided, released] = [hashOf('voided'), hashOf('released')]
    memory.claim(voided, taken)
    memory.closeHold(voided, 'authorization', 4)
    expect(memory.closedHold(voided)).toEqual({ kind: 'authorization', cardNo: 4 })
    expect(memory.parent(voided, names)).toBeNull()
    memory.claim(released, taken)
    memory.post(released, 'post', null, [{ debitNo: 1, creditNo: 2, amount: 1n }])
    memory.closeHold(released, 'review', null)
    expect(memory.closedHold(released)).toEqual({ kind: 'review', cardNo: null })
    expect(memory.parent(released, names)?.postings.length).toBe(1)
    memory.forget(released)
    expect(memory.closedHold(released)).toBeNull()
    expect(memory.parent(released, names)).toBeNull()
    expect(memory.takenId(released)).toBeNull()
  })

  it('are the same after being kept and restored', () => {
    const memory = new TransactionMemory()
    for (let place = 0; place < 500; place += 1) {
      const key = hashOf(`t${place}`)
      memory.claim(key, { content: hashOf(`c${place}`), takenAtMs: place % 3 })
      if (place % 2 === 0) {
        memory.post(key, 'post', place % 5, [
          { debitNo: place, creditNo: place + 1, amount: BigInt(place + 1) },
        ])
      }
      if (place % 4 === 0) memory.setReversed(key, 0, 1n)
      if (place % 3 === 0) memory.closeHold(key, place % 6 === 0 ? 'review' : 'authorization', place % 5)
    }
    const restored = new TransactionMemory()
    for (const entry of memory.entries()) restored.restore(entry)
    const byKey = (from: TransactionMemory) => [...from.entries()].sort((a, b) => (a.key < b.key ? -1 : 1))
    expect(byKey(restored)).toEqual(byKey(memory))
    expect(byKey(restored).length).toBe(500)
  })
})
