/** What comes with the engine: the rulebook and the model, both data; docs/fraud.md explains them. */
import { type Model, readModel } from '../model/model.ts'
import type { Rulebook } from '../rulebook/definition.ts'
import { rulesNotKept } from '../rulebook/engine.ts'
import { parseRulebook } from '../rulebook/parse.ts'
import modelJson from './cards-model.json' with { type: 'json' }
import rulesJson from './rules.json' with { type: 'json' }

/** The built-in rulebook. */
export const builtinRulebook = (): Rulebook => parseRulebook(rulesJson)

/** The part of the built-in rulebook that the engine can work out, as JSON: without rules on what it keeps nothing of. */
export const engineRulebookJson = (): unknown => {
  const left = new Set(rulesNotKept(builtinRulebook()).map(({ ruleId }) => ruleId))
  const { rules, typologies, ...rest } = rulesJson
  return {
    ...rest,
    rules: rules.filter(({ id }) => !left.has(id)),
    typologies: typologies.map((typology) => ({
      ...typology,
      rules: typology.rules.filter((id) => !left.has(id)),
    })),
  }
}

/** The built-in model of card payments. */
export const builtinModel = (): Model => readModel(modelJson)
