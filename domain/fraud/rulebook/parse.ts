/** Reads a rulebook from JSON: every key is known and checked, and every problem says where it is and what was expected. */
import { FEATURES, type FeatureName } from '../features/vector.ts'
import { type Model, ModelError, readModel } from '../model/model.ts'
import { ACTIONS, type Band, COMPARISONS, type Comparison, type Expression } from './definition.ts'
import type {
  RuleDefinition,
  Rulebook,
  Slope,
  Subject,
  Threshold,
  Typology,
  ValueName,
} from './definition.ts'
import { MODEL_SCORE, SUBJECTS, valuesNamedBy } from './definition.ts'

/** Stable codes of what can be wrong. */
export type RulebookProblemCode =
  | 'type_wrong'
  | 'key_unknown'
  | 'feature_unknown'
  | 'subject_unknown'
  | 'list_unknown'
  | 'rule_unknown'
  | 'value_unknown'
  | 'number_out_of_range'
  | 'name_invalid'
  | 'name_twice'
  | 'too_many'
  | 'too_deep'
  | 'not_approved'
  | 'bands_not_ascending'
  | 'model_invalid'
  | 'model_missing'
  | 'model_unused'

export interface RulebookProblem {
  readonly code: RulebookProblemCode
  /** Where: `rules[2].when.all[0]`. */
  readonly path: string
  readonly message: string
}

/** Why a rulebook is refused: every problem that was found, at most PROBLEMS_MAX. */
export class RulebookError extends Error {
  readonly code = 'rulebook_invalid'
  readonly problems: readonly RulebookProblem[]

  constructor(problems: readonly RulebookProblem[]) {
    super(problems.map(({ path, message, code }) => `${path}: ${message} (${code})`).join('\n'))
    this.name = 'RulebookError'
    this.problems = problems
  }
}

const PROBLEMS_MAX = 50
const RULES_MAX = 500
const TYPOLOGIES_MAX = 50
const LISTS_MAX = 50
const LIST_ENTRIES_MAX = 10_000
const PARTS_MAX = 20
const DEPTH_MAX = 6
const TEXT_MAX = 256
const POINTS_MAX = 1_000_000
/** Odds of a fraud are never beyond e^1000. */
const SCORE_MAX = 10_000_000
const VALUES: readonly string[] = [...FEATURES, MODEL_SCORE]
const NAME = /^[a-z][a-z0-9_]{0,63}$/

type Json = Readonly<Record<string, unknown>>

/** @throws RulebookError with every problem */
export const parseRulebook = (json: unknown): Rulebook => {
  const parser = new RulebookParser()
  const rulebook = parser.rulebook(json)
  if (parser.problems.length > 0) throw new RulebookError(parser.problems)
  return rulebook
}

class RulebookParser {
  readonly problems: RulebookProblem[] = []
  #lists = new Map<string, ReadonlySet<string>>()

  rulebook(json: unknown): Rulebook {
    const keys = ['format', 'name', 'version', 'lists', 'rules', 'typologies', 'model']
    const root = this.#object(json, 'rulebook', keys)
    if (root.format !== 1) this.#wrong('value_unknown', 'format', 'expected 1', root.format)
    this.#lists = this.#readLists(root.lists)
    const rules = this.#array(root.rules, 'rules', RULES_MAX).map((rule, at) =>
      this.#rule(rule, `rules[${at}]`),
    )
    this.#noneTwice(rules, 'rules')
    const known = new Set(rules.map(({ id }) => id))
    const typologies = this.#array(root.typologies ?? [], 'typologies', TYPOLOGIES_MAX).map((typology, at) =>
      this.#typology(typology, `typologies[${at}]`, known),
    )
    this.#noneTwice(typologies, 'typologies')
    const model = this.#model(root.model, rules)
    return {
      name: this.#name(root.name, 'name'),
      version: this.#whole(root.version, 'version', 1, 1_000_000_000),
      lists: this.#lists,
      rules: rules.sort((a, b) => (a.id < b.id ? -1 : 1)),
      typologies,
      model,
    }
  }

  #model(json: unknown, rules: readonly RuleDefinition[]): Model | null {
    const isUsed = rules.some((rule) => valuesNamedBy(rule).includes(MODEL_SCORE))
    if (json === undefined) {
      if (isUsed)
        this.#wrong('model_missing', 'model', `expected a model, since a rule looks at ${MODEL_SCORE}`, json)
      return null
    }
    // Nobody pays for states and a walk through trees that no rule asks for.
    if (!isUsed) this.#wrong('model_unused', 'model', `expected a rule that looks at ${MODEL_SCORE}`, 'none')
    try {
      return readModel(json)
    } catch (error) {
      if (!(error instanceof ModelError)) throw error
      this.#wrong('model_invalid', 'model', `expected a model, ${error.message}`, json)
      return null
    }
  }

  #readLists(json: unknown): Map<string, ReadonlySet<string>> {
    const lists = new Map<string, ReadonlySet<string>>()
    if (json === undefined) return lists
    const given = Object.entries(this.#object(json, 'lists', null))
    if (given.length > LISTS_MAX)
      this.#wrong('too_many', 'lists', `expected at most ${LISTS_MAX}`, given.length)
    for (const [name, entries] of given) {
      const path = `lists.${name}`
      const texts = this.#array(entries, path, LIST_ENTRIES_MAX).map((entry, at) =>
        this.#text(entry, `${path}[${at}]`),
      )
      lists.set(this.#name(name, path), new Set(texts))
    }
    return lists
  }

  #rule(json: unknown, path: string): RuleDefinition {
    const rule = this.#object(json, path, RULE_KEYS)
    const read: RuleDefinition = {
      id: this.#name(rule.id, `${path}.id`),
      version: this.#whole(rule.version, `${path}.version`, 1, 1_000_000_000),
      title: this.#text(rule.title, `${path}.title`),
      words: this.#text(rule.words, `${path}.words`),
      fires: this.#fires(rule.fires, `${path}.fires`),
      when: rule.when === undefined ? null : this.#expression(rule.when, `${path}.when`, 1),
      scope: this.#scope(rule.scope, `${path}.scope`),
      weight: this.#whole(rule.weight, `${path}.weight`, 0, POINTS_MAX),
      slope: rule.slope === undefined ? null : this.#slope(rule.slope, `${path}.slope`),
      action: this.#oneOf(rule.action, `${path}.action`, ACTIONS),
      mode: this.#oneOf(rule.mode, `${path}.mode`, ['live', 'shadow'] as const),
      onError: this.#oneOf(rule.onError, `${path}.onError`, ['open', 'closed'] as const),
      author: this.#text(rule.author, `${path}.author`),
      approvedBy: rule.approvedBy === undefined ? null : this.#text(rule.approvedBy, `${path}.approvedBy`),
    }
    if (read.mode === 'live' && (read.approvedBy === null || read.approvedBy === read.author))
      this.#wrong(
        'not_approved',
        `${path}.approvedBy`,
        'expected a live rule to be approved by somebody else than its author',
        read.approvedBy,
      )
    return read
  }

  #fires(json: unknown, path: string): RuleDefinition['fires'] {
    const read = this.#expression(json, path, 1)
    if (read.type === 'compare' || read.type === 'listed') return read
    this.#wrong('type_wrong', path, 'expected one feature or one list to look at', read.type)
    return NOTHING
  }

  #scope(json: unknown, path: string): RuleDefinition['scope'] {
    if (json === undefined) return { currencies: null, kinds: null }
    const scope = this.#object(json, path, ['currencies', 'kinds'])
    const texts = (key: 'currencies' | 'kinds') =>
      scope[key] === undefined
        ? null
        : this.#array(scope[key], `${path}.${key}`, PARTS_MAX).map((each, at) =>
            this.#text(each, `${path}.${key}[${at}]`),
          )
    return { currencies: texts('currencies'), kinds: texts('kinds') }
  }

  #slope(json: unknown, path: string): Slope {
    const slope = this.#object(json, path, ['every', 'points', 'most'])
    return {
      every: this.#whole(slope.every, `${path}.every`, 1, Number.MAX_SAFE_INTEGER),
      points: this.#whole(slope.points, `${path}.points`, 1, POINTS_MAX),
      most: this.#whole(slope.most, `${path}.most`, 1, POINTS_MAX),
    }
  }

  #expression(json: unknown, path: string, depth: number): Expression {
    if (depth > DEPTH_MAX) {
      this.#wrong('too_deep', path, `expected at most ${DEPTH_MAX} levels`, depth)
      return NOTHING
    }
    const given = this.#object(json, path, EXPRESSION_KEYS)
    if ('all' in given) return this.#parts('all', given, path, depth)
    if ('any' in given) return this.#parts('any', given, path, depth)
    if ('not' in given) {
      this.#only(given, path, ['not'])
      return { type: 'not', part: this.#expression(given.not, `${path}.not`, depth + 1) }
    }
    return 'subject' in given ? this.#listed(given, path) : this.#comparison(given, path)
  }

  #parts(type: 'all' | 'any', given: Json, path: string, depth: number): Expression {
    this.#only(given, path, [type])
    const parts = this.#array(given[type], `${path}.${type}`, PARTS_MAX).map((part, at) =>
      this.#expression(part, `${path}.${type}[${at}]`, depth + 1),
    )
    return { type, parts }
  }

  #listed(given: Json, path: string): Expression & { type: 'listed' } {
    this.#only(given, path, ['subject', 'in'])
    const subject = this.#member(given.subject, `${path}.subject`, SUBJECTS, 'subject_unknown') as Subject
    const list = this.#name(given.in, `${path}.in`)
    if (!this.#lists.has(list))
      this.#wrong('list_unknown', `${path}.in`, 'expected the name of one of the lists', list)
    return { type: 'listed', subject, list }
  }

  #comparison(given: Json, path: string): Expression & { type: 'compare' } {
    const comparison = COMPARISONS.find((each) => each in given)
    if (comparison === undefined)
      this.#wrong('type_wrong', path, `expected one of ${COMPARISONS.join(', ')}`, Object.keys(given))
    const used: Comparison = comparison ?? 'above'
    this.#only(given, path, ['feature', used])
    const feature = this.#member(given.feature, `${path}.feature`, VALUES, 'feature_unknown') as ValueName
    return {
      type: 'compare',
      feature,
      comparison: used,
      threshold:
        feature === MODEL_SCORE
          ? this.#whole(given[used], `${path}.${used}`, -SCORE_MAX, SCORE_MAX)
          : this.#threshold(given[used], `${path}.${used}`),
    }
  }

  #threshold(json: unknown, path: string): Threshold {
    if (typeof json !== 'object' || json === null) return this.#whole(json, path, 0, Number.MAX_SAFE_INTEGER)
    const given = this.#object(json, path, null)
    if ('percent' in given) {
      this.#only(given, path, ['percent', 'of'])
      return {
        percent: this.#whole(given.percent, `${path}.percent`, 0, POINTS_MAX),
        of: this.#feature(given.of, `${path}.of`),
      }
    }
    const byCurrency: Record<string, number> = {}
    for (const [currency, amount] of Object.entries(given)) {
      if (!/^([A-Z]{3}|\*)$/.test(currency))
        this.#wrong('value_unknown', `${path}.${currency}`, 'expected a currency code or *', currency)
      byCurrency[currency] = this.#whole(amount, `${path}.${currency}`, 0, Number.MAX_SAFE_INTEGER)
    }
    return { byCurrency }
  }

  #typology(json: unknown, path: string, known: ReadonlySet<string>): Typology {
    const given = this.#object(json, path, ['id', 'title', 'rules', 'bands'])
    const rules = this.#array(given.rules, `${path}.rules`, RULES_MAX).map((rule, at) => {
      const id = this.#name(rule, `${path}.rules[${at}]`)
      if (!known.has(id)) this.#wrong('rule_unknown', `${path}.rules[${at}]`, 'expected the id of a rule', id)
      return id
    })
    const bands = this.#array(given.bands, `${path}.bands`, PARTS_MAX).map((band, at): Band => {
      const { from, action } = this.#object(band, `${path}.bands[${at}]`, ['from', 'action'])
      return {
        from: this.#whole(from, `${path}.bands[${at}].from`, 1, POINTS_MAX),
        action: this.#oneOf(action, `${path}.bands[${at}].action`, ACTIONS),
      }
    })
    if (bands.some((band, at) => at > 0 && band.from <= bands[at - 1]!.from))
      this.#wrong(
        'bands_not_ascending',
        `${path}.bands`,
        'expected each band to begin above the one before',
        '',
      )
    return {
      id: this.#name(given.id, `${path}.id`),
      title: this.#text(given.title, `${path}.title`),
      rules,
      bands,
    }
  }

  #feature(json: unknown, path: string): FeatureName {
    return this.#member(json, path, FEATURES, 'feature_unknown') as FeatureName
  }

  #oneOf<Name extends string>(json: unknown, path: string, names: readonly Name[]): Name {
    return this.#member(json, path, names, 'value_unknown') as Name
  }

  #member(json: unknown, path: string, names: readonly string[], code: RulebookProblemCode): string {
    if (typeof json === 'string' && names.includes(json)) return json
    const expected = names.length > 10 ? 'a name from docs/fraud.md' : `one of ${names.join(', ')}`
    this.#wrong(code, path, `expected ${expected}`, json)
    return names[0]!
  }

  #name(json: unknown, path: string): string {
    if (typeof json === 'string' && NAME.test(json)) return json
    this.#wrong(
      'name_invalid',
      path,
      'expected small letters, digits and _, a letter first, at most 64',
      json,
    )
    return ''
  }

  #text(json: unknown, path: string): string {
    if (typeof json === 'string' && json.length > 0 && json.length <= TEXT_MAX) return json
    this.#wrong('type_wrong', path, `expected a text of 1 to ${TEXT_MAX} characters`, json)
    return ''
  }

  #whole(json: unknown, path: string, min: number, max: number): number {
    if (Number.isSafeInteger(json) && (json as number) >= min && (json as number) <= max)
      return json as number
    this.#wrong('number_out_of_range', path, `expected a whole number from ${min} to ${max}`, json)
    return min
  }

  #array(json: unknown, path: string, max: number): readonly unknown[] {
    if (!Array.isArray(json)) {
      this.#wrong('type_wrong', path, 'expected a list', json)
      return []
    }
    if (json.length > max) this.#wrong('too_many', path, `expected at most ${max}`, json.length)
    return json.slice(0, max)
  }

  #object(json: unknown, path: string, keys: readonly string[] | null): Json {
    if (typeof json !== 'object' || json === null || Array.isArray(json)) {
      this.#wrong('type_wrong', path, 'expected an object', json)
      return {}
    }
    if (keys !== null) this.#only(json as Json, path, keys)
    return json as Json
  }

  #only(given: Json, path: string, keys: readonly string[]): void {
    for (const key of Object.keys(given))
      if (!keys.includes(key))
        this.#wrong('key_unknown', `${path}.${key}`, `expected ${keys.join(', ')}`, key)
  }

  #noneTwice(named: readonly { readonly id: string }[], path: string): void {
    const seen = new Set<string>()
    for (const { id } of named) {
      if (seen.has(id)) this.#wrong('name_twice', path, 'expected every id once', id)
      seen.add(id)
    }
  }

  #wrong(code: RulebookProblemCode, path: string, expected: string, found: unknown): void {
    if (this.problems.length >= PROBLEMS_MAX) return
    const shown = (JSON.stringify(found) ?? 'nothing').slice(0, 60)
    this.problems.push({ code, path, message: `${expected}, found ${shown}` })
  }
}

const NOTHING: Expression & { type: 'compare' } = {
  type: 'compare',
  feature: 'amount',
  comparison: 'above',
  threshold: Number.MAX_SAFE_INTEGER,
}
const EXPRESSION_KEYS = ['feature', ...COMPARISONS, 'subject', 'in', 'all', 'any', 'not']
const RULE_KEYS = [
  'id',
  'version',
  'title',
  'words',
  'fires',
  'when',
  'scope',
  'weight',
  'slope',
  'action',
  'mode',
  'onError',
  'author',
  'approvedBy',
]
