/** Histories: labels only when they are due, states that leave the memory come back the same, trees that find what is there. */
import { expect, test } from 'vitest'
import { DAY_MS } from '#domain/fraud/features/feedback.ts'
import { decodePayer, encodePayer, newPayer, notePayment } from '#domain/fraud/features/payer.ts'
import { readModel } from '#domain/fraud/model/model.ts'
import { figuresOf } from './figures.ts'
import { FraudHistory, type HistoricPayment } from './history.ts'
import { HistoryScorer } from './score.ts'
import { StateShelf } from './state-shelf.ts'
import { trainModel } from './train.ts'
import { trainTrees } from './trees.ts'

const START_MS = Date.UTC(2026, 0, 1)

/** A plain sequence of numbers from 0 to below `below`, the same every time (a linear congruential generator of Numerical Recipes). */
const numbersBelow = () => {
  let state = 12_345
  return (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

/** 60 days of payments; terminal t0 is in wrong hands from day 20 on. */
const history = (): HistoricPayment[] => {
  const next = numbersBelow()
  return Array.from({ length: 60 * 60 }, (_, at) => {
    const day = Math.floor(at / 60)
    const terminal = `t${next(6)}`
    const isFraud = (terminal === 't0' && day >= 20) || next(400) === 0
    const amount = 1_000 + next(2_000)
    return {
      id: String(at),
      at: START_MS + day * DAY_MS + (at % 60) * 60_000,
      account: `a${next(20)}`,
      terminal,
      amount,
      isFraud,
    }
  })
}

const model = readModel({
  format: 1,
  name: 'test',
  version: '1',
  training: {},
  features: ['terminal_frauds_28d', 'account_frauds_28d', 'amount'],
  base: 0,
  trees: ['0,0,1,2,0 v0 v1000', '1,1,1,2,0 v0 v10', '2,2000,1,2,0 v0 v1'],
})
const scoresOf = (payments: readonly HistoricPayment[]): number[] => {
  const scorer = new HistoryScorer({ by: 'model', model })
  return payments.map((payment) => scorer.score(payment))
}

test('a label changes no score before the seventh day after its payment, and some after it', () => {
  const payments = history()
  const changedDay = 45
  const changed = payments.map((payment) =>
    payment.at >= START_MS + changedDay * DAY_MS ? { ...payment, isFraud: !payment.isFraud } : payment,
  )
  const due = 60 * (changedDay + 7)
  const [scores, others] = [scoresOf(payments), scoresOf(changed)]
  expect(others.slice(0, due)).toEqual(scores.slice(0, due))
  expect(others.slice(due)).not.toEqual(scores.slice(due))
})

// The features guard the seven days by themselves too, so no score says when a label was learned.
test('labels wait outside the features for seven whole days', () => {
  const run = new FraudHistory({ withLabels: true })
  const waiting = new Map<number, number>()
  for (const payment of history()) {
    run.next(payment)
    waiting.set(Math.floor((payment.at - START_MS) / DAY_MS), run.labelsWaiting)
  }
  expect([waiting.get(0), waiting.get(3), waiting.get(6)]).toEqual([60, 240, 420])
  for (let day = 7; day < 60; day++) expect(waiting.get(day)).toBe(7 * 60)
})

test('without labels nothing of them is known', () => {
  const payments = history()
  const without = payments.map((payment) => ({ ...payment, isFraud: null }))
  expect(scoresOf(without)).not.toEqual(scoresOf(payments))
  expect(scoresOf(without).every((score) => score <= 1)).toBe(true)
})

test('states that had to go as bytes come back the same; those that nobody used for long are new', () => {
  const shelf = new StateShelf({
    make: newPayer,
    encode: encodePayer,
    decode: decodePayer,
    objectsMax: 8,
    keepDays: 10,
  })
  const next = numbersBelow()
  const plain = new Map(Array.from({ length: 50 }, (_, name) => [`a${name}`, newPayer()]))
  for (let at = 0; at < 2_000; at++) {
    const name = `a${next(50)}`
    const payment = {
      amount: next(500),
      at: START_MS + at * 60_000,
      counterparty: next(9),
      country: 0,
      isNewCounterparty: false,
      isDeclined: false,
    }
    notePayment(shelf.take(name, Math.floor(payment.at / DAY_MS)), payment)
    notePayment(plain.get(name)!, payment)
  }
  const today = Math.floor(START_MS / DAY_MS) + 2
  for (const [name, payer] of plain) expect(encodePayer(shelf.take(name, today))).toEqual(encodePayer(payer))
  expect(shelf.size).toBe(50)
  shelf.take('a0', today + 11)
  expect(shelf.size).toBe(1)
})

test('trees find a border and an exception from it', () => {
  const next = numbersBelow()
  const size = 4_000
  const [first, second] = [new Float64Array(size), new Float64Array(size)].map((column) =>
    column.map(() => next(100)),
  ) as [Float64Array, Float64Array]
  const isFraud = (row: number) => first[row]! > 70 && second[row]! <= 50
  const trained = trainTrees(
    {
      columns: [first, second],
      labels: Uint8Array.from(first, (_, row) => (isFraud(row) ? 1 : 0)),
      weights: new Float64Array(size).fill(1),
    },
    { trees: 10, leavesMax: 4, learningRate: 0.5, leafRowsMin: 10, ridge: 1 },
  )
  const scoreOf = (a: number, b: number) =>
    trained.trees.reduce((sum, tree) => {
      let node = tree[0]!
      while (node.feature >= 0)
        node = tree[(node.feature === 0 ? a : b) <= node.threshold ? node.left : node.right]!
      return sum + node.value
    }, trained.base)
  expect(scoreOf(90, 20)).toBeGreaterThan(2)
  for (const [a, b] of [
    [90, 80],
    [40, 20],
    [60, 90],
  ] as const)
    expect(scoreOf(a, b)).toBeLessThan(-2)
})

test('a model that was trained finds the terminal; figures are of weeks that it has not seen; the same history gives the same model', async () => {
  const train = () =>
    trainModel(blocks(history()), { name: 'test', version: '1', judgedDays: 7, progress: () => {} })
  const first = await train()
  expect(first.figures.rocAuc).toBeGreaterThan(0.85)
  expect(first.model.training).toMatchObject({ lastDay: '2026-02-23', judgedDays: 7 })
  expect(JSON.stringify(await train())).toBe(JSON.stringify(first))
  expect(() => readModel(JSON.parse(JSON.stringify(first.model)))).not.toThrow()
})

test('a history without labels, or too short, trains nothing', async () => {
  const options = { name: 'test', version: '1', judgedDays: 7, progress: () => {} }
  const unlabelled = history().map((payment) => ({ ...payment, isFraud: null }))
  await expect(trainModel(blocks(unlabelled), options)).rejects.toThrow('label')
  await expect(trainModel(blocks(history().slice(0, 600)), options)).rejects.toThrow('50 frauds')
})

async function* blocks(payments: HistoricPayment[]): AsyncGenerator<HistoricPayment[]> {
  yield payments
}

test('figures: by hand on few payments, ties at their mean', () => {
  const payments = [
    { score: 9, isFraud: true, account: 'a', day: 1 },
    { score: 8, isFraud: false, account: 'b', day: 1 },
    { score: 7, isFraud: true, account: 'c', day: 1 },
    { score: 7, isFraud: false, account: 'd', day: 1 },
    { score: 9, isFraud: true, account: 'a', day: 2 },
  ]
  const figures = figuresOf(payments)
  // Of six pairs fraud/genuine: 2 × 2 right by a, c against b wrong, c against d a tie.
  expect(figures.rocAuc).toBeCloseTo(4.5 / 6, 10)
  expect(figures.averagePrecision).toBeCloseTo((2 * (2 / 2) + 3 / 5) / 3, 10)
  expect(figures.cardPrecisionAt100).toBeCloseTo((2 / 100 + 0 / 100) / 2, 10)
})
