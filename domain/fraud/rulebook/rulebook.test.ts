/** Rulebooks: what is wrong is told with its place; what fires is told with value, threshold, points and words. */
import { expect, test } from 'vitest'
import { builtinModel, builtinModelJson, builtinRulebook, builtinRulebookWith } from '../builtin/builtin.ts'
import { newPayer } from '../features/payer.ts'
import { type FeatureValues, featuresOf } from '../features/vector.ts'
import { evaluateRulebook, type RuledPayment } from './evaluate.ts'
import { parseRulebook, RulebookError } from './parse.ts'
import { NO_WATCH, watchOfBook } from './watch.ts'

const rule = (changes: Record<string, unknown> = {}) => ({
  id: 'busy',
  version: 3,
  title: 'Busy',
  words: '{value} payments in an hour, limit {threshold}',
  fires: { feature: 'account_count_1h', above: 4 },
  weight: 10,
  action: 'alert',
  mode: 'live',
  onError: 'open',
  author: 'ann',
  approvedBy: 'ben',
  ...changes,
})
const book = (rules: unknown[] = [rule()], more: Record<string, unknown> = {}) => ({
  format: 1,
  name: 'test',
  version: 1,
  rules,
  ...more,
})
const none = featuresOf({
  amount: 0,
  at: 1_767_225_600_000,
  counterparty: null,
  country: 0,
  account: newPayer(),
  card: null,
  terminal: null,
  device: null,
})
const payment = (values: Partial<FeatureValues>, more: Partial<RuledPayment> = {}): RuledPayment => ({
  values: { ...none, ...values },
  currency: 'EUR',
  kind: 'post',
  subjects: {},
  ...more,
})
const find = (json: unknown, of: RuledPayment) => evaluateRulebook(parseRulebook(json), of)
const problems = (json: unknown): string[] => {
  try {
    parseRulebook(json)
    return []
  } catch (error) {
    if (!(error instanceof RulebookError)) throw error
    return error.problems.map(({ code, path }) => `${code} ${path}`)
  }
}

test('a rule that fires is explained: version, value, threshold, points, words', () => {
  expect(find(book(), payment({ account_count_1h: 4 }))).toEqual({
    action: 'none',
    score: 0,
    rules: [],
    typologies: [],
  })
  expect(find(book(), payment({ account_count_1h: 5 }))).toMatchObject({
    action: 'alert',
    rules: [
      {
        ruleId: 'busy',
        version: 3,
        value: 5,
        threshold: 4,
        points: 10,
        failure: null,
        words: '5 payments in an hour, limit 4',
      },
    ],
  })
})

test('points grow by the slope, up to its most', () => {
  const json = book([rule({ slope: { every: 2, points: 3, most: 7 } })])
  const points = [5, 6, 8, 10, 400].map(
    (count) => find(json, payment({ account_count_1h: count })).rules[0]!.points,
  )
  expect(points).toEqual([10, 13, 16, 17, 17])
})

test('conditions: all, any, not, lists, comparisons with another feature and by currency', () => {
  const json = book(
    [
      rule({
        fires: { feature: 'amount', above: { EUR: 100, '*': 50 } },
        when: {
          all: [
            {
              any: [
                { feature: 'is_night', atLeast: 1 },
                { subject: 'terminal', in: 'bad' },
              ],
            },
            { not: { feature: 'amount', atMost: { percent: 300, of: 'account_usual_amount' } } },
          ],
        },
      }),
    ],
    { lists: { bad: ['t1'] } },
  )
  const fires = (values: Partial<FeatureValues>, more: Partial<RuledPayment> = {}) =>
    find(json, payment({ is_night: 0, ...values }, more)).rules.length === 1
  const atBad = { subjects: { terminal: 't1' } }
  expect(fires({ amount: 101, account_usual_amount: 33 }, atBad)).toBe(true)
  expect(fires({ amount: 100, account_usual_amount: 33 }, atBad)).toBe(false)
  expect(fires({ amount: 101, account_usual_amount: 34 }, atBad)).toBe(false)
  expect(fires({ amount: 101, account_usual_amount: 33 }, { subjects: { terminal: 't2' } })).toBe(false)
  expect(fires({ amount: 101, account_usual_amount: 33, is_night: 1 })).toBe(true)
  expect(fires({ amount: 51, account_usual_amount: 1 }, { ...atBad, currency: 'JPY' })).toBe(true)
})

test('percentages of the largest amounts are exact', () => {
  const json = book([rule({ fires: { feature: 'amount', above: { percent: 99, of: 'account_sum_30d' } } })])
  const whole = Number.MAX_SAFE_INTEGER
  const share = Number((BigInt(whole) * 99n) / 100n)
  const fires = (amount: number) => find(json, payment({ amount, account_sum_30d: whole })).rules.length === 1
  expect([fires(share), fires(share + 1)]).toEqual([false, true])
})

test('scope: other currencies and kinds are not looked at', () => {
  const json = book([rule({ scope: { currencies: ['USD'], kinds: ['authorize'] } })])
  const busy = { account_count_1h: 9 }
  expect(find(json, payment(busy)).rules).toEqual([])
  expect(find(json, payment(busy, { currency: 'USD' })).rules).toEqual([])
  expect(find(json, payment(busy, { currency: 'USD', kind: 'authorize' })).rules).toHaveLength(1)
})

test('a rule that cannot be worked out follows its own fail mode, and says so', () => {
  const failing = (onError: string) =>
    book([rule({ fires: { feature: 'amount', above: { EUR: 1 } }, onError })])
  const yen = payment({ amount: 0 }, { currency: 'JPY' })
  expect(find(failing('open'), yen)).toMatchObject({
    action: 'none',
    rules: [{ failure: 'no_threshold_for_currency', points: 0, words: 'Busy: no threshold for JPY' }],
  })
  expect(find(failing('closed'), yen)).toMatchObject({
    action: 'alert',
    rules: [{ failure: 'no_threshold_for_currency', points: 10 }],
  })
})

test('typologies add up live rules; shadow rules are told and do nothing', () => {
  const json = book(
    [
      rule({ action: 'none', weight: 60 }),
      rule({ id: 'large', fires: { feature: 'amount', above: 10 }, action: 'none', weight: 50 }),
      rule({ id: 'dark', mode: 'shadow', approvedBy: undefined, action: 'reject', weight: 900 }),
    ].map((each) => JSON.parse(JSON.stringify(each)) as unknown),
    {
      typologies: [
        {
          id: 'both',
          title: 'Both',
          rules: ['busy', 'large', 'dark'],
          bands: [
            { from: 60, action: 'alert' },
            { from: 110, action: 'hold' },
          ],
        },
      ],
    },
  )
  const busy = find(json, payment({ account_count_1h: 9 }))
  expect(busy).toMatchObject({ action: 'alert', score: 60 })
  expect(busy.rules.map(({ ruleId, isShadow }) => [ruleId, isShadow])).toEqual([
    ['busy', false],
    ['dark', true],
  ])
  expect(find(json, payment({ account_count_1h: 9, amount: 11 }))).toMatchObject({
    action: 'hold',
    score: 110,
    typologies: [{ typologyId: 'both', score: 110, action: 'hold' }],
  })
})

test.each([
  ['no object', 7, 'type_wrong rulebook'],
  ['an unknown key', book([rule({ colour: 'red' })]), 'key_unknown rules[0].colour'],
  [
    'an unknown feature',
    book([rule({ fires: { feature: 'x', above: 1 } })]),
    'feature_unknown rules[0].fires.feature',
  ],
  [
    'a fraction',
    book([rule({ fires: { feature: 'amount', above: 1.5 } })]),
    'number_out_of_range rules[0].fires.above',
  ],
  [
    'two comparisons',
    book([rule({ fires: { feature: 'amount', above: 1, below: 3 } })]),
    'key_unknown rules[0].fires.below',
  ],
  [
    'a list that is not there',
    book([rule({ when: { subject: 'card', in: 'x' } })]),
    'list_unknown rules[0].when.in',
  ],
  ['a live rule of one person', book([rule({ approvedBy: 'ann' })]), 'not_approved rules[0].approvedBy'],
  ['a rule twice', book([rule(), rule()]), 'name_twice rules'],
  ['an unknown action', book([rule({ action: 'shout' })]), 'value_unknown rules[0].action'],
  [
    'too deep a condition',
    book([
      rule({ when: { not: { not: { not: { not: { not: { not: { feature: 'amount', above: 1 } } } } } } } }),
    ]),
    'too_deep rules[0].when.not.not.not.not.not.not',
  ],
  [
    'bands in disorder',
    book([rule()], {
      typologies: [
        {
          id: 't',
          title: 'T',
          rules: ['busy'],
          bands: [
            { from: 5, action: 'hold' },
            { from: 5, action: 'alert' },
          ],
        },
      ],
    }),
    'bands_not_ascending typologies[0].bands',
  ],
  [
    'a typology of an unknown rule',
    book([], { typologies: [{ id: 't', title: 'T', rules: ['x'], bands: [] }] }),
    'rule_unknown typologies[0].rules[0]',
  ],
])('%s is refused with its place', (_name, json, told) => {
  expect(problems(json)).toContain(told)
})

const model = (changes: Record<string, unknown> = {}) => ({
  format: 1,
  name: 'm',
  version: '7',
  training: {},
  features: ['amount', 'terminal_frauds_28d'],
  base: -1_000,
  trees: ['0,100,1,2,5 v-50 1,2,3,4,70 v10 v900'],
  ...changes,
})
const scored = (changes: Record<string, unknown> = {}) =>
  rule({
    id: 'scored',
    words: 'score {value}, limit {threshold}',
    fires: { feature: 'model_score', atLeast: -1_000 },
    ...changes,
  })

test("the model's score is a value like others: compared, below zero too, and explained with its version and reasons", () => {
  const json = book([scored({ slope: { every: 300, points: 7, most: 100 } })], { model: model() })
  expect(find(json, payment({ amount: 100 })).rules).toEqual([])
  const found = find(json, payment({ amount: 101, terminal_frauds_28d: 3 }))
  expect(found).toMatchObject({ action: 'alert', rules: [{ value: -100, threshold: -1_000, points: 31 }] })
  expect(found.rules[0]!.words).toBe(
    'score -100, limit -1000; model m 7 scores -100 (terminal_frauds_28d 3: +830, amount 101: +65)',
  )
})

test('a condition may look at the model too; only rules that look at it speak of it', () => {
  const json = book([rule({ when: { feature: 'model_score', above: -1_000 } }), rule({ id: 'other' })], {
    model: model(),
  })
  const words = (amount: number) =>
    find(json, payment({ amount, account_count_1h: 5 })).rules.map((each) => each.words)
  expect(words(100)).toEqual(['5 payments in an hour, limit 4'])
  expect(words(101)).toEqual([
    '5 payments in an hour, limit 4; model m 7 scores -990 (amount 101: +65, terminal_frauds_28d 0: -60)',
    '5 payments in an hour, limit 4',
  ])
})

test.each([
  ['a rule on a model that is not there', book([scored()]), 'model_missing model'],
  ['a model that nothing looks at', book([rule()], { model: model() }), 'model_unused model'],
  ['a model that is none', book([scored()], { model: model({ trees: ['v1 x'] }) }), 'model_invalid model'],
  ['a nameless model', book([scored()], { model: model({ name: '' }) }), 'model_invalid model'],
  [
    'a threshold by currency',
    book([scored({ fires: { feature: 'model_score', above: { EUR: 1 } } })], { model: model() }),
    'number_out_of_range rules[0].fires.above',
  ],
  [
    'a share of the score',
    book([scored(), rule({ fires: { feature: 'amount', above: { percent: 9, of: 'model_score' } } })], {
      model: model(),
    }),
    'feature_unknown rules[1].fires.above.of',
  ],
  [
    'a threshold below zero elsewhere',
    book([rule({ fires: { feature: 'amount', above: -1 } })]),
    'number_out_of_range rules[0].fires.above',
  ],
])('models: %s is refused with its place', (_name, json, told) => {
  expect(problems(json)).toContain(told)
})

test("what the model's features need is kept", () => {
  const watch = (features: string[]) =>
    watchOfBook(parseRulebook(book([scored()], { model: model({ features, trees: ['v1'] }) })))
  expect(watch(['amount'])).toEqual(NO_WATCH)
  expect(watch(['terminal_count_1d'])).toEqual({ ...NO_WATCH, terminals: true })
  expect(watch(['amount', 'account_frauds_28d', 'device_count_1d'])).toEqual({
    ...NO_WATCH,
    labels: true,
    devices: true,
  })
})

test('what comes with the engine is whole: every rule of the rulebook can fire, and the model can be read', () => {
  const { rules, typologies } = builtinRulebook()
  expect(rules.length).toBeGreaterThanOrEqual(14)
  expect(typologies.map(({ id }) => id)).toEqual(['stolen_card', 'mule_account', 'account_takeover'])
  expect(rules.every(({ mode }) => mode === 'live')).toBe(true)
  expect(builtinModel().roots.length).toBeGreaterThan(50)
  const both = parseRulebook(builtinRulebookWith(builtinModelJson()))
  expect(both.rules.length).toBe(rules.length + 1)
  expect(both.model).toEqual(builtinModel())
})
