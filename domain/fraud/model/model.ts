/**
 * The model beside the rules: gradient boosted trees over the features, trained offline (`fraud train`), kept as data.
 *
 * Thresholds, node values and the score are whole numbers, so that every machine computes the same bits. The score is the
 * logarithm of the odds that a payment is fraud, in units of 1/10,000 (0 = as likely as not, 10,000 = e to one): the higher,
 * the more likely.
 */
import { FEATURES, type FeatureName, type FeatureValues } from '../features/vector.ts'

/** What a model file holds. */
export interface ModelFile {
  readonly format: 1
  /** Name and version of this model: part of every decision that it takes part in. */
  readonly name: string
  readonly version: string
  /** How it was made, in words and figures, for people. */
  readonly training: Readonly<Record<string, string | number>>
  /** What the nodes' feature numbers mean. */
  readonly features: readonly string[]
  /** Score before any tree. */
  readonly base: number
  /**
   * A tree each: nodes separated by blanks, the root first. A leaf is `v<value>`; a branch is
   * `<feature>,<threshold>,<left>,<right>,<value>`: left where the feature is at most the threshold, `left` and `right` by place
   * in the tree, always behind their parent. A branch's value is what its rows would get if it were a leaf: it explains.
   */
  readonly trees: readonly string[]
}

export interface Model {
  readonly name: string
  readonly version: string
  readonly features: readonly FeatureName[]
  readonly base: number
  /** All trees' nodes behind each other; LEAF as feature of a leaf. Children by place in these arrays. */
  readonly feature: Int32Array
  readonly threshold: Float64Array
  readonly left: Int32Array
  readonly right: Int32Array
  readonly value: Int32Array
  readonly roots: Int32Array
}

/** How much one feature moved the score. */
export interface ModelContribution {
  readonly feature: FeatureName
  readonly value: number
  /** Units of the score. */
  readonly points: number
}

/** Why a file is no model; `reason` says where. */
export class ModelError extends Error {
  readonly code = 'model_invalid'

  constructor(reason: string) {
    super(`not a model: ${reason}`)
    this.name = 'ModelError'
  }
}

const LEAF = -1
const TREES_MAX = 2_000
const NODES_MAX = 511
const VALUE_MAX = 100_000_000
const NAME_MAX = 64

/** Checks and unfolds a model file. @throws ModelError */
export const readModel = (file: unknown): Model => {
  const { name, version, features, base, trees } = checkFile(file)
  const nodes = trees.map((tree, index) => readTree(tree, index, features.length))
  const size = nodes.reduce((sum, tree) => sum + tree.length, 0)
  const model: Model = {
    name,
    version,
    features,
    base,
    feature: new Int32Array(size),
    threshold: new Float64Array(size),
    left: new Int32Array(size),
    right: new Int32Array(size),
    value: new Int32Array(size),
    roots: new Int32Array(trees.length),
  }
  let start = 0
  for (const [index, tree] of nodes.entries()) {
    model.roots[index] = start
    for (const [at, node] of tree.entries()) {
      model.feature[start + at] = node.feature
      model.threshold[start + at] = node.threshold
      model.left[start + at] = start + node.left
      model.right[start + at] = start + node.right
      model.value[start + at] = node.value
    }
    start += tree.length
  }
  return model
}

/** The features in the model's order, into `into` (as long as model.features). */
export const modelInput = (model: Model, values: FeatureValues, into: Float64Array): Float64Array => {
  for (let at = 0; at < model.features.length; at++) into[at] = values[model.features[at]!]
  return into
}

/** The score of a payment, 1/10,000 of log-odds. @param input modelInput */
export const scoreOf = (model: Model, input: Float64Array): number => {
  const { feature, threshold, left, right, value, roots } = model
  let score = model.base
  for (let tree = 0; tree < roots.length; tree++) {
    let node = roots[tree]!
    for (let looked = feature[node]!; looked !== LEAF; looked = feature[node]!)
      node = input[looked]! <= threshold[node]! ? left[node]! : right[node]!
    score += value[node]!
  }
  return score
}

/**
 * What moved the score, strongest first: along each tree's path, each step's change of value is its feature's. Their sum and the
 * average before any feature (base and the roots' values) is the score.
 */
export const explainScore = (model: Model, input: Float64Array): readonly ModelContribution[] => {
  const points = new Array<number>(model.features.length).fill(0)
  for (const root of model.roots) {
    let node = root
    while (model.feature[node] !== LEAF) {
      const looked = model.feature[node]!
      const next = input[looked]! <= model.threshold[node]! ? model.left[node]! : model.right[node]!
      points[looked] = points[looked]! + model.value[next]! - model.value[node]!
      node = next
    }
  }
  return model.features
    .map((feature, at) => ({ feature, value: input[at]!, points: points[at]! }))
    .filter((each) => each.points !== 0)
    .sort((a, b) => Math.abs(b.points) - Math.abs(a.points) || (a.feature < b.feature ? -1 : 1))
}

interface Node {
  readonly feature: number
  readonly threshold: number
  readonly left: number
  readonly right: number
  readonly value: number
}

type CheckedFile = Pick<Model, 'name' | 'version' | 'features' | 'base'> & Pick<ModelFile, 'trees'>

const checkFile = (file: unknown): CheckedFile => {
  if (typeof file !== 'object' || file === null) throw new ModelError('expected an object')
  const given = file as Partial<Record<keyof ModelFile, unknown>>
  if (given.format !== 1) throw new ModelError(`expected format 1, got ${String(given.format)}`)
  const { name, version, features, base, trees } = given
  if (!isName(name) || !isName(version))
    throw new ModelError(`name and version: expected texts of 1 to ${NAME_MAX} characters`)
  if (!Array.isArray(features) || features.length === 0 || features.length > FEATURES.length)
    throw new ModelError('features are missing')
  const unknown = features.find((feature) => !(FEATURES as readonly unknown[]).includes(feature))
  if (unknown !== undefined) throw new ModelError(`unknown feature ${String(unknown)}`)
  if (!isWhole(base, VALUE_MAX)) throw new ModelError('base: expected a whole number')
  if (!Array.isArray(trees) || trees.length > TREES_MAX || trees.some((tree) => typeof tree !== 'string'))
    throw new ModelError(`trees: expected at most ${TREES_MAX} texts`)
  return { name, version, features, base, trees } as CheckedFile
}

const isName = (value: unknown): value is string =>
  typeof value === 'string' && value.length > 0 && value.length <= NAME_MAX

const isWhole = (value: unknown, max: number): boolean =>
  Number.isSafeInteger(value) && Math.abs(value as number) <= max

const readTree = (text: string, index: number, features: number): Node[] => {
  const parts = text.split(' ')
  if (parts.length > NODES_MAX) throw new ModelError(`tree ${index}: more than ${NODES_MAX} nodes`)
  return parts.map((part, at) => {
    const node = readNode(part)
    const isLeaf = node.feature === LEAF
    const fits =
      isWhole(node.value, VALUE_MAX) &&
      (isLeaf ||
        (node.feature < features &&
          Number.isSafeInteger(node.threshold) &&
          // Behind their parent: a walk always ends.
          [node.left, node.right].every((child) => child > at && child < parts.length)))
    if (!fits) throw new ModelError(`tree ${index}: node ${at} is wrong: ${part.slice(0, 40)}`)
    return node
  })
}

const readNode = (part: string): Node => {
  if (/^v-?\d{1,9}$/.test(part))
    return { feature: LEAF, threshold: 0, left: 0, right: 0, value: Number(part.slice(1)) }
  if (!/^\d{1,3},-?\d{1,16},\d{1,3},\d{1,3},-?\d{1,9}$/.test(part)) return { ...BROKEN }
  const [feature, threshold, left, right, value] = part.split(',').map(Number)
  return { feature: feature!, threshold: threshold!, left: left!, right: right!, value: value! }
}
const BROKEN: Node = { feature: 0, threshold: 0, left: 0, right: 0, value: 0 }
