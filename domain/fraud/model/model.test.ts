/** Models: scored as their trees say, explained exactly, and refused where a file is none. */
import { expect, test } from 'vitest'
import { newPayer } from '../features/payer.ts'
import { featuresOf } from '../features/vector.ts'
import { explainScore, type ModelFile, modelInput, readModel, scoreOf } from './model.ts'

const file = (changes: Partial<ModelFile> = {}): ModelFile => ({
  format: 1,
  name: 'test',
  version: '1',
  training: {},
  features: ['amount', 'account_count_1h'],
  base: -1_000,
  trees: ['0,100,1,2,5 v-50 1,2,3,4,70 v10 v900', 'v3'],
  ...changes,
})
const values = (amount: number) =>
  featuresOf({
    amount,
    at: 1_767_225_600_000,
    counterparty: null,
    country: 0,
    account: newPayer(),
    card: null,
    terminal: null,
    device: null,
  })
const input = (...numbers: number[]) => Float64Array.from(numbers)

test('each tree adds the leaf that the features lead to; at the threshold it is left', () => {
  const model = readModel(file())
  expect(scoreOf(model, input(100, 9))).toBe(-1_000 - 50 + 3)
  expect(scoreOf(model, input(101, 2))).toBe(-1_000 + 10 + 3)
  expect(scoreOf(model, input(101, 3))).toBe(-1_000 + 900 + 3)
  expect([...modelInput(model, values(77), new Float64Array(2))]).toEqual([77, 1])
})

test('contributions and the values at the roots sum up to the score', () => {
  const model = readModel(file())
  const found = explainScore(model, input(101, 3))
  expect(found).toEqual([
    { feature: 'account_count_1h', value: 3, points: 830 },
    { feature: 'amount', value: 101, points: 65 },
  ])
  const roots = [...model.roots].reduce((sum, root) => sum + model.value[root]!, model.base)
  expect(roots + found.reduce((sum, { points }) => sum + points, 0)).toBe(scoreOf(model, input(101, 3)))
})

test.each([
  ['another format', { format: 2 as 1 }, 'format'],
  ['an unknown feature', { features: ['amount', 'shoe_size'] }, 'shoe_size'],
  ['no features', { features: [] }, 'features'],
  ['a broken base', { base: 0.5 }, 'base'],
  ['a child before its parent', { trees: ['0,1,1,2,0 v1 0,1,1,1,0'] }, 'node 2'],
  ['a child that is not there', { trees: ['0,1,1,2,0 v1'] }, 'node 0'],
  ['a feature that is not there', { trees: ['2,1,1,2,0 v1 v2'] }, 'node 0'],
  ['text', { trees: ['v1 hello'] }, 'node 1'],
])('%s is refused', (_name, changes, told) => {
  expect(() => readModel(file(changes))).toThrow(told)
})
