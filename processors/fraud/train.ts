/**
 * Makes a model from a history, in time's order: features as they were at each payment, labels only once they were due. The figures
 * are of a model that had seen nothing of the weeks it is judged by; the model that is kept is trained on up to the last due label.
 */
import { DAY_MS, LABEL_DELAY_DAYS } from '#domain/fraud/features/feedback.ts'
import { FEATURES, type FeatureName, type FeatureValues } from '#domain/fraud/features/vector.ts'
import { type Model, type ModelFile, readModel, scoreOf } from '#domain/fraud/model/model.ts'
import { OperatingError } from '#platform/errors.ts'
import { type Figures, figuresOf, type ScoredPayment } from './figures.ts'
import { FraudHistory, type HistoricPayment } from './history.ts'
import { type TrainedNode, type TrainedTrees, trainTrees, type TreeOptions } from './trees.ts'

export interface TrainOptions {
  readonly name: string
  readonly version: string
  /** How many of the history's last days the figures are of. */
  readonly judgedDays: number
  /** Told now and then what is going on. */
  readonly progress: (message: string) => void
}

export interface Training {
  readonly model: ModelFile
  readonly figures: Figures
}

/** Days at the start that only fill the windows. */
const WARM_UP_DAYS = 35
/** Of genuine payments one of so many is learned from, and counts so much more. */
const GENUINE_SHARE = 4
const TREES: TreeOptions = { trees: 120, leavesMax: 24, learningRate: 0.09, leafRowsMin: 40, ridge: 5 }
const SCORE_UNITS = 10_000
/** These say how old the history is, or the hour: what is learned from them doesn't hold elsewhere. */
const NOT_LEARNED: readonly FeatureName[] = [
  'account_history',
  'account_days_known',
  'hour_of_day',
  'is_night',
  'is_weekend',
]

interface Row {
  readonly day: number
  readonly account: string
  readonly isFraud: boolean
  readonly isLearned: boolean
  readonly values: Float64Array
}

/**
 * Trains on a history in event order.
 * @throws OperatingError training_impossible where it is too short, has too few frauds, or lacks labels
 */
export const trainModel = async (
  payments: AsyncIterable<readonly HistoricPayment[]>,
  options: TrainOptions,
): Promise<Training> => {
  const rows = await rowsOf(payments, options)
  const first = rows[0]?.day ?? 0
  const end = (rows.at(-1)?.day ?? 0) + 1
  const judgedFrom = end - options.judgedDays
  const learned = rows.filter((row) => row.isLearned && row.day >= first + WARM_UP_DAYS)
  const features = featuresThatVary(learned)
  const dueOn = (today: number) => learned.filter((row) => row.day + LABEL_DELAY_DAYS <= today)
  const fitted = (until: number, name: string): ModelFile =>
    fitModel(dueOn(until), features, { ...options, name })
  options.progress(`training for figures on the last ${options.judgedDays} days`)
  const judged = readModel(fitted(judgedFrom, `${options.name}-judged`))
  const figures = figuresOf(
    scoredBy(
      judged,
      rows.filter((row) => row.day >= judgedFrom),
    ),
  )
  options.progress('training the model that is kept')
  const model = fitted(end, options.name)
  return { model: { ...model, training: { ...model.training, ...figureWords(figures, options) } }, figures }
}

const rowsOf = async (
  payments: AsyncIterable<readonly HistoricPayment[]>,
  { judgedDays, progress }: TrainOptions,
): Promise<Row[]> => {
  const history = new FraudHistory({ withLabels: true })
  const rows: Row[] = []
  let genuine = 0
  let seen = 0
  // Days that may turn out to be judged are kept whole; older ones are thinned as time goes on.
  let thinned = 0
  for await (const block of payments) {
    for (const payment of block) {
      if (payment.isFraud === null)
        throw new OperatingError(
          'training_impossible',
          `expected a label for every payment, ${payment.id} has none`,
        )
      const values = history.next(payment)
      const isLearned = payment.isFraud || genuine++ % GENUINE_SHARE === 0
      const day = Math.floor(payment.at / DAY_MS)
      rows.push({
        day,
        account: payment.account,
        isFraud: payment.isFraud,
        isLearned,
        values: vectorOf(values),
      })
    }
    seen += block.length
    if (seen - thinned > 100_000) {
      thinned = seen
      const last = rows.at(-1)!.day
      const kept = rows.filter((row) => row.isLearned || row.day > last - judgedDays)
      rows.splice(0, rows.length)
      for (const row of kept) rows.push(row)
      progress(`${seen} payments read`)
    }
  }
  return rows
}

const vectorOf = (values: FeatureValues): Float64Array =>
  Float64Array.from(FEATURES, (feature) => values[feature])

const featuresThatVary = (rows: readonly Row[]): FeatureName[] =>
  FEATURES.filter(
    (feature, at) =>
      !NOT_LEARNED.includes(feature) && rows.some(({ values }) => values[at] !== rows[0]!.values[at]),
  )

const FRAUDS_MIN = 50

const fitModel = (
  rows: readonly Row[],
  features: readonly FeatureName[],
  options: Pick<TrainOptions, 'name' | 'version' | 'progress'>,
): ModelFile => {
  const frauds = rows.filter((row) => row.isFraud).length
  if (frauds < FRAUDS_MIN)
    throw new OperatingError(
      'training_impossible',
      `expected at least ${FRAUDS_MIN} frauds after ${WARM_UP_DAYS} days of warm-up with labels that are due, found ${frauds}`,
    )
  const trained = trainTrees(
    {
      columns: features.map((feature) => {
        const at = FEATURES.indexOf(feature)
        return Float64Array.from(rows, ({ values }) => values[at]!)
      }),
      labels: Uint8Array.from(rows, (row) => (row.isFraud ? 1 : 0)),
      weights: Float64Array.from(rows, (row) => (row.isFraud ? 1 : GENUINE_SHARE)),
    },
    TREES,
    (done) => {
      if (done % 40 === 0) options.progress(`${done} of ${TREES.trees} trees`)
    },
  )
  return {
    format: 1,
    name: options.name,
    version: options.version,
    training: {
      firstDay: dateOf(rows[0]!.day),
      lastDay: dateOf(rows.at(-1)!.day),
      payments: rows.length,
      frauds,
      labelDelayDays: LABEL_DELAY_DAYS,
    },
    features,
    ...wholeNumbers(trained),
  }
}

const wholeNumbers = ({ base, trees }: TrainedTrees): Pick<ModelFile, 'base' | 'trees'> => ({
  base: Math.round(base * SCORE_UNITS),
  trees: trees.map((tree) => tree.map(nodeText).join(' ')),
})

const nodeText = ({ feature, threshold, left, right, value }: TrainedNode): string => {
  const units = Math.round(value * SCORE_UNITS)
  return feature < 0 ? `v${units}` : `${feature},${threshold},${left},${right},${units}`
}

const scoredBy = (model: Model, rows: readonly Row[]): ScoredPayment[] => {
  const places = model.features.map((feature) => FEATURES.indexOf(feature))
  return rows.map(({ account, day, isFraud, values }) => ({
    account,
    day,
    isFraud,
    score: scoreOf(
      model,
      Float64Array.from(places, (place) => values[place]!),
    ),
  }))
}

const figureWords = (figures: Figures, { judgedDays }: TrainOptions): Record<string, string | number> => ({
  judgedDays,
  rocAuc: figures.rocAuc.toFixed(4),
  averagePrecision: figures.averagePrecision.toFixed(4),
  cardPrecisionAt100: figures.cardPrecisionAt100.toFixed(4),
})

const dateOf = (day: number): string => new Date(day * DAY_MS).toISOString().slice(0, 10)
