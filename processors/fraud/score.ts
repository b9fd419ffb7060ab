/** Scores the payments of a history in event order, by the model or, where no label may be used, by the rulebook. */
import type { FeatureValues } from '#domain/fraud/features/vector.ts'
import { type Model, modelInput, scoreOf } from '#domain/fraud/model/model.ts'
import type { Rulebook } from '#domain/fraud/rulebook/definition.ts'
import { evaluateRulebook } from '#domain/fraud/rulebook/evaluate.ts'
import { FraudHistory, type HistoricPayment } from './history.ts'

/** `model`: labels are learned when they are due. `rules`: none is, and nothing that was trained on labels takes part. */
export type Scoring =
  | { readonly by: 'model'; readonly model: Model }
  | { readonly by: 'rules'; readonly rulebook: Rulebook; readonly currency: string }

export class HistoryScorer {
  readonly #history: FraudHistory
  readonly #score: (values: FeatureValues, payment: HistoricPayment) => number

  constructor(scoring: Scoring) {
    this.#history = new FraudHistory({ withLabels: scoring.by === 'model' })
    this.#score = scoring.by === 'model' ? byModel(scoring.model) : byRules(scoring)
  }

  /** Notes a payment that needs no score. */
  pass(payment: HistoricPayment): void {
    this.#history.next(payment)
  }

  /** The score of the next payment, a whole number: the higher, the likelier a fraud. */
  score(payment: HistoricPayment): number {
    return this.#score(this.#history.next(payment), payment)
  }
}

const byModel = (model: Model) => {
  const input = new Float64Array(model.features.length)
  return (values: FeatureValues): number => scoreOf(model, modelInput(model, values, input))
}

const byRules =
  ({ rulebook, currency }: Scoring & { by: 'rules' }) =>
  (values: FeatureValues, { account, terminal }: HistoricPayment): number =>
    evaluateRulebook(rulebook, {
      values,
      currency,
      kind: 'post',
      subjects: { account, terminal, counterparty: terminal },
    }).score
