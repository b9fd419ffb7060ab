/** Every kind of difference between what must have been sent and what is there is found, and nothing else. */
import { describe, expect, it } from 'vitest'
import { type ExpectedOutput, TopicComparison } from './compare.ts'
import { CompactedComparison } from './compare-compacted.ts'
import type { OutputRecord } from './topic-cursor.ts'

const output = (name: string): ExpectedOutput => ({ key: Buffer.from(name[0]!), value: Buffer.from(name) })
const BATCHES: Record<string, string[]> = { 1: ['a1', 'b1', 'c1'], 2: ['a2', 'a2x', 'b2'], 3: [], 4: ['c4'] }

/** @param log messages as `name@batch`, with `!` behind for those of a repair; all in one partition */
const compare = (log: readonly string[], isKept?: (o: ExpectedOutput) => boolean): string[] => {
  let left = log.map((text, at): OutputRecord => {
    const [, name, batch, mark] = /^(\w+)@(\d+)(!?)$/.exec(text)!
    const { key, value } = output(name!)
    return { partition: 0, offset: BigInt(at), key, value, sequence: BigInt(batch!), isRepair: mark === '!' }
  })
  const comparison = new TopicComparison('t')
  for (const [batch, names] of Object.entries(BATCHES)) {
    const sequence = BigInt(batch)
    const end = left.findIndex((record) => record.sequence > sequence)
    const taken = left.slice(0, end < 0 ? left.length : end)
    left = left.slice(taken.length)
    comparison.batch(sequence, names.map(output), taken, isKept)
  }
  comparison.end()
  expect(comparison.missing).toHaveLength(comparison.findings.filter(({ kind }) => kind === 'missing').length)
  return comparison.findings.map(({ kind, sequence, key, offset }) => `${kind} ${sequence} ${key} ${offset}`)
}

const WHOLE = ['a1@1', 'b1@1', 'c1@1', 'a2@2', 'a2x@2', 'b2@2', 'c4@4']
const without = (place: number): string[] => WHOLE.filter((_, at) => at !== place)

describe('comparing outputs', () => {
  it('finds nothing where all is there once, in order', () => {
    expect(compare(WHOLE)).toEqual([])
  })

  it.each(WHOLE.map((name, at) => [name, at] as const))('finds that %s is missing', (name, at) => {
    expect(compare(without(at))).toEqual([`missing ${name.split('@')[1]} ${name[0]} null`])
  })

  it('finds all that is missing where nothing is there', () => {
    expect(compare([])).toHaveLength(WHOLE.length)
  })

  it('finds one that is there twice, at once or later', () => {
    expect(compare(['a1@1', ...WHOLE])).toEqual(['repeated 1 a 1'])
    expect(compare([...WHOLE, 'b2@2'])).toEqual(['repeated 2 b 7'])
  })

  it('finds one behind its turn, within its batch and behind it', () => {
    expect(compare(['b1@1', 'a1@1', ...WHOLE.slice(2)])).toEqual(['out_of_order 1 a 1'])
    expect(compare([...without(1), 'b1@1'])).toEqual(['out_of_order 1 b 6'])
  })

  it('takes what a repair put behind its turn as it should be, but not twice', () => {
    expect(compare([...without(1), 'b1@1!'])).toEqual([])
    expect(compare([...without(1), 'b1@1!', 'b1@1!'])).toEqual(['repeated 1 b 7'])
  })

  it('finds a changed one: what is there, and what is missing for it', () => {
    expect(compare(WHOLE.map((name) => (name === 'a2x@2' ? 'a2y@2' : name)))).toEqual([
      'different 2 a 4',
      'missing 2 a null',
    ])
  })

  it('does not miss what the topic may have let go of', () => {
    const rest = WHOLE.slice(2)
    expect(compare(rest)).toEqual(['missing 1 a null', 'missing 1 b null'])
    expect(compare(rest, ({ value }) => !['a1', 'b1'].includes(value.toString()))).toEqual([])
  })
})

describe('comparing a compacted topic', () => {
  let mended = 0
  const newest = (expected: Record<string, string>, log: readonly string[]): string[] => {
    const comparison = new CompactedComparison('t')
    for (const [at, text] of log.entries()) {
      const [name, sequence] = text.split('@') as [string, string]
      const { key, value } = output(name)
      comparison.record({
        partition: 0,
        offset: BigInt(at),
        key,
        value,
        sequence: BigInt(sequence),
        isRepair: false,
      })
    }
    for (const [name, sequence] of Object.entries(expected)) comparison.expect(BigInt(sequence), output(name))
    comparison.end()
    mended = comparison.missing.length
    return comparison.findings.map(
      ({ kind, sequence, key, offset }) => `${kind} ${sequence} ${key} ${offset}`,
    )
  }

  it('looks at the newest of each key', () => {
    expect(newest({ a2: '2', b1: '1' }, ['a1@1', 'b1@1', 'a2@2'])).toEqual([])
    expect(newest({ a2: '2' }, ['a2@2', 'a2@2'])).toEqual([])
    expect(newest({ a2: '2', b1: '1' }, ['a1@1', 'a2@2'])).toEqual(['missing 1 b null'])
    expect(newest({ a2: '2' }, ['a2@2', 'a1@1'])).toEqual(['out_of_order 1 a 1'])
    expect(newest({ a2: '2' }, ['a1@1'])).toEqual(['missing 2 a null'])
    expect(newest({ a2: '2' }, ['a3@2'])).toEqual(['different 2 a 0'])
    expect(newest({}, ['a3@2'])).toEqual(['different 2 a 0'])
  })

  it('puts no older message behind the one of a batch that is not kept', () => {
    expect(newest({ a2: '2' }, ['a2@2', 'a3@3'])).toEqual(['different 3 a 1'])
    expect(mended).toBe(0)
    expect(newest({ a2: '2' }, ['a1@1'])).toEqual(['missing 2 a null'])
    expect(mended).toBe(1)
  })
})
