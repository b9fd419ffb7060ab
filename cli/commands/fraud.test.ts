/** `fraud score | train | check` on small files: what is written, and how wrong files and options are refused. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { builtinModelJson } from '#domain/fraud/builtin/builtin.ts'
import modelRule from '#domain/fraud/builtin/model-rule.json' with { type: 'json' }
import { checkRulebook, scoreFiles, trainFromFile } from './fraud.ts'

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tallystream-fraud-'))
  const rows = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, at) => {
      const id = from + at
      const amount = id === 390 ? 95_000 : 1_000 + (id % 7) * 100
      return `${id},${1_767_225_600 + id * 3_600},c${id % 5},t${id % 3},${amount},${id === 390 ? 1 : 0}`
    })
  const heading = 'tx_id,epoch,customer_id,terminal_id,amount_cents,fraud'
  await writeFile(join(folder, 'history.csv'), [heading, ...rows(0, 380), ''].join('\n'))
  await writeFile(join(folder, 'week.csv'), [heading, ...rows(380, 400), ''].join('\n'))
  await writeFile(join(folder, 'wrong.csv'), `${heading}\n1,2,c,t,-5,0\n`)
  await writeFile(join(folder, 'rules.json'), '{"format":1,"name":"r","version":1,"rules":[{"id":"x"}]}')
})
afterAll(() => rm(folder, { recursive: true }))

const context = { signal: new AbortController().signal, progress: () => {} }
const at = (name: string): string => join(folder, name)
const score = (more: { labels?: boolean; model?: string; rules?: string; history?: string } = {}) =>
  scoreFiles(context, {
    history: at('history.csv'),
    transactions: at('week.csv'),
    out: at('scores.csv'),
    labelsAfter: '7d',
    labels: true,
    currency: 'EUR',
    ...more,
  })

test.each([true, false])(
  'every payment of the second file is scored, the odd one highest; labels: %s',
  async (labels) => {
    const { json } = await score({ labels })
    expect(json).toMatchObject({ payments: 400, scored: 20, figures: { frauds: 1, roc_auc: 1 } })
    const [heading, ...lines] = (await readFile(join(folder, 'scores.csv'), 'utf8')).trim().split('\n')
    expect(heading).toBe('tx_id,score')
    const scores = lines.map((line) => line.split(',').map(Number) as [number, number])
    expect(scores.map(([id]) => id)).toEqual(Array.from({ length: 20 }, (_, at) => 380 + at))
    const highest = scores.reduce((a, b) => (b[1] > a[1] ? b : a))
    expect(highest[0]).toBe(390)
    expect(scores.filter(([, each]) => each === highest[1])).toHaveLength(1)
  },
)

test('wrong files and options that do not fit are refused with what was expected', async () => {
  await expect(score({ history: at('wrong.csv') })).rejects.toThrow(
    'line 2: amount_cents: expected a whole number',
  )
  await expect(score({ history: at('none.csv') })).rejects.toThrow('expected a readable file')
  await expect(score({ labels: false, model: 'm.json' })).rejects.toThrow('trained on labels')
  await expect(score({ model: at('rules.json') })).rejects.toThrow('not a model')
  await expect(checkRulebook({ file: at('rules.json') })).rejects.toThrow('rules[0].title: expected a text')
  const training = {
    history: at('history.csv'),
    out: at('m.json'),
    name: 'm',
    modelVersion: '1',
    judgedDays: '7',
  }
  await expect(trainFromFile(context, training)).rejects.toMatchObject({ code: 'training_impossible' })
})

test('the built-in rulebook is shown', async () => {
  const { text } = await checkRulebook({})
  expect(text).toContain('impossible_travel')
  expect(text).not.toContain('model')
})

test('a model goes into a rulebook that asks for one, and into no other', async () => {
  const shown = await checkRulebook({ model: 'built_in' })
  expect(shown.text).toContain('model cards 1: 120 trees, 34 features')
  expect(shown.json).toMatchObject({ model: { name: 'cards', version: '1' } })
  const own = { format: 1, name: 'own', version: 1, rules: [modelRule] }
  await writeFile(at('own.json'), JSON.stringify(own))
  await expect(checkRulebook({ file: at('own.json') })).rejects.toThrow('model_missing')
  const { text } = await checkRulebook({ file: at('own.json'), model: 'built_in' })
  expect(text).toContain('model_score')
  await writeFile(at('none.json'), JSON.stringify({ ...own, rules: [] }))
  await expect(checkRulebook({ file: at('none.json'), model: 'built_in' })).rejects.toThrow('model_unused')
  await expect(checkRulebook({ file: at('own.json'), model: at('rules.json') })).rejects.toThrow(
    'not a model',
  )
  await writeFile(at('with-model.json'), JSON.stringify({ ...own, model: builtinModelJson() }))
  await expect(score({ labels: false, rules: at('with-model.json') })).rejects.toThrow('trained on labels')
})
