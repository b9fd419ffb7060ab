/** What comes with the engine: the rulebook and the model, both data; docs/fraud.md explains them. */
import { type Model, readModel } from '../model/model.ts'
import type { Rulebook } from '../rulebook/definition.ts'
import { parseRulebook } from '../rulebook/parse.ts'
import modelJson from './cards-model.json' with { type: 'json' }
import modelRuleJson from './model-rule.json' with { type: 'json' }
import rulesJson from './rules.json' with { type: 'json' }

/** The built-in rulebook. */
export const builtinRulebook = (): Rulebook => parseRulebook(rulesJson)

/** The built-in rulebook as it is proposed: JSON. */
export const builtinRulebookJson = (): unknown => rulesJson

/** The built-in model of card payments. */
export const builtinModel = (): Model => readModel(modelJson)

/** The built-in model as it lies in its file. */
export const builtinModelJson = (): unknown => modelJson

/** The built-in rulebook with a model and a rule that alerts from its even odds on: JSON. @param model as in a file of `fraud train` */
export const builtinRulebookWith = (model: unknown): unknown => ({
  ...rulesJson,
  rules: [...rulesJson.rules, modelRuleJson],
  model,
})
