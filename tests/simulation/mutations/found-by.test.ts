/** What counts as finding a planted bug: the check that watches what it breaks, and nothing else. */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { FOUND_BY, isFoundBy } from './found-by.ts'
import { MUTATIONS } from './mutations.ts'

/** The sources that hold the checks' names. */
const sources = ['oracle', 'world'].flatMap((folder) => {
  const path = fileURLToPath(new URL(`../${folder}/`, import.meta.url))
  return readdirSync(path).map((name) => readFileSync(`${path}${name}`, 'utf8'))
})

test.each(MUTATIONS)('$name: its text stands once in the source', ({ changes }) => {
  for (const { file, find } of changes) {
    const text = readFileSync(fileURLToPath(new URL(`../../../${file}`, import.meta.url)), 'utf8')
    expect(text.split(find).length - 1, file).toBe(1)
  }
})

test('every mutation says what must find it, and nothing else does', () => {
  expect(Object.keys(FOUND_BY).sort()).toEqual(MUTATIONS.map(({ name }) => name).sort())
})

test('the checks that it names are checks of the simulation', () => {
  const names = Object.values(FOUND_BY).flatMap((all) =>
    all.map((one) => (typeof one === 'string' ? one : one.check)),
  )
  const unknown = names.filter(
    (name) => !sources.some((text) => text.includes(`'${name}'`) || text.includes(`"${name}"`)),
  )
  expect(unknown).toEqual([])
})

test('another check does not count, nor does the right one for another reason', () => {
  const idsNotChecked = { name: 'ids-not-checked' }
  const decisions = "decisions are the model's"
  expect(isFoundBy(idsNotChecked, { check: decisions, message: '' })).toBe(true)
  expect(isFoundBy(idsNotChecked, { check: 'the work is finished in time', message: '' })).toBe(false)
  const kept = { name: 'producer-kept-after-an-error' }
  const check = 'no error but those of operation'
  expect(isFoundBy(kept, { check, message: 'AssertionError: batches come in sequence: 4 after 7' })).toBe(
    true,
  )
  expect(isFoundBy(kept, { check, message: 'TypeError: x is not a function' })).toBe(false)
})
