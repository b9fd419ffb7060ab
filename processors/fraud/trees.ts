/**
 * Training of gradient boosted trees for two classes (logistic loss), offline: the result is rounded to whole numbers and
 * evaluated by domain/fraud/model. Histograms over at most BINS values a feature, trees grown leaf by leaf, Newton steps:
 * Friedman, "Greedy function approximation" (2001); Ke et al., "LightGBM" (2017). Nothing is random: the same rows give the same trees.
 */

export interface TrainingRows {
  /** By feature, a number a row. */
  readonly columns: readonly Float64Array[]
  /** 1 = fraud. */
  readonly labels: Uint8Array
  readonly weights: Float64Array
}

export interface TreeOptions {
  readonly trees: number
  readonly leavesMax: number
  readonly learningRate: number
  /** Least rows of a leaf. */
  readonly leafRowsMin: number
  /** Pulls leaves towards 0. */
  readonly ridge: number
}

/** `threshold` is a whole number: left where the feature is at most that. */
export interface TrainedNode {
  feature: number
  threshold: number
  left: number
  right: number
  /** Log-odds. */
  value: number
}

export interface TrainedTrees {
  /** Log-odds before any tree. */
  readonly base: number
  readonly trees: readonly (readonly TrainedNode[])[]
}

const BINS = 96

interface Binned {
  readonly bins: readonly Uint8Array[]
  /** By feature: the largest value of each bin but the last. */
  readonly edges: readonly number[][]
}

interface Leaf {
  readonly node: number
  readonly rows: Uint32Array
  readonly histogram: Float64Array
  readonly gradient: number
  readonly hessian: number
  split: Split | null
}

interface Split {
  readonly feature: number
  readonly bin: number
  readonly gain: number
}

/** @param onTree told after each tree */
export const trainTrees = (
  rows: TrainingRows,
  options: TreeOptions,
  onTree: (done: number) => void = () => {},
): TrainedTrees => {
  const binned = binColumns(rows.columns)
  const size = rows.labels.length
  const base = startOf(rows)
  const scores = new Float64Array(size).fill(base)
  const gradients = new Float64Array(size)
  const hessians = new Float64Array(size)
  const trees: TrainedNode[][] = []
  for (let tree = 0; tree < options.trees; tree++) {
    for (let row = 0; row < size; row++) {
      const probability = 1 / (1 + Math.exp(-scores[row]!))
      gradients[row] = (probability - rows.labels[row]!) * rows.weights[row]!
      hessians[row] = probability * (1 - probability) * rows.weights[row]!
    }
    trees.push(growTree({ binned, gradients, hessians, scores }, options))
    onTree(tree + 1)
  }
  return { base, trees }
}

const startOf = ({ labels, weights }: TrainingRows): number => {
  let frauds = 0
  let all = 0
  for (let row = 0; row < labels.length; row++) {
    frauds += labels[row]! * weights[row]!
    all += weights[row]!
  }
  return Math.log(frauds / (all - frauds))
}

/** Bins of about as many rows each; the few values that a feature takes get a bin each. */
const binColumns = (columns: readonly Float64Array[]): Binned => {
  const edges = columns.map(edgesOf)
  const bins = columns.map((column, feature) => {
    const own = edges[feature]!
    return Uint8Array.from(column, (value) => binOf(own, value))
  })
  return { bins, edges }
}

const edgesOf = (column: Float64Array): number[] => {
  const sorted = Float64Array.from(column).sort()
  const edges: number[] = []
  // Half of the bins by rows, half of them for the rare high values, where frauds are.
  const ranks: number[] = []
  for (let bin = 1; bin < BINS / 2; bin++) ranks.push(Math.floor((sorted.length * bin) / (BINS / 2)))
  for (let bin = 1; bin < BINS / 2; bin++)
    ranks.push(sorted.length - 1 - Math.floor((sorted.length * bin) / (BINS / 2) / 24))
  for (const rank of ranks) edges.push(sorted[rank]!)
  const last = sorted.at(-1)!
  return [...new Set(edges)].filter((edge) => edge < last).sort((a, b) => a - b)
}

const binOf = (edges: readonly number[], value: number): number => {
  let low = 0
  let high = edges.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (value <= edges[middle]!) high = middle
    else low = middle + 1
  }
  return low
}

interface Growing {
  readonly binned: Binned
  readonly gradients: Float64Array
  readonly hessians: Float64Array
  /** Log-odds a row, moved on by the new tree. */
  readonly scores: Float64Array
}

const growTree = (growing: Growing, options: TreeOptions): TrainedNode[] => {
  const all = Uint32Array.from({ length: growing.scores.length }, (_, row) => row)
  const nodes: TrainedNode[] = [emptyNode()]
  const root = leafOf(growing, options, { node: 0, rows: all, histogram: histogramOf(growing, all) })
  nodes[0]!.value = stepOf(root, options)
  const leaves = [root]
  while (leaves.length < options.leavesMax) {
    const best = leaves.reduce((a, b) => ((b.split?.gain ?? 0) > (a.split?.gain ?? 0) ? b : a))
    if (best.split === null) break
    const pair = splitLeaf(growing, options, best, nodes)
    leaves.splice(leaves.indexOf(best), 1, ...pair)
  }
  for (const leaf of leaves)
    for (const row of leaf.rows) growing.scores[row] = growing.scores[row]! + nodes[leaf.node]!.value
  return nodes
}

const emptyNode = (): TrainedNode => ({ feature: -1, threshold: 0, left: 0, right: 0, value: 0 })

const stepOf = ({ gradient, hessian }: { gradient: number; hessian: number }, options: TreeOptions): number =>
  (-gradient / (hessian + options.ridge)) * options.learningRate

/** Three numbers a bin: gradient, hessian, rows. */
const histogramOf = ({ binned, gradients, hessians }: Growing, rows: Uint32Array): Float64Array => {
  const histogram = new Float64Array(binned.bins.length * BINS * 3)
  for (let feature = 0; feature < binned.bins.length; feature++) {
    const bins = binned.bins[feature]!
    const start = feature * BINS * 3
    for (let at = 0; at < rows.length; at++) {
      const row = rows[at]!
      const cell = start + bins[row]! * 3
      histogram[cell] = histogram[cell]! + gradients[row]!
      histogram[cell + 1] = histogram[cell + 1]! + hessians[row]!
      histogram[cell + 2] = histogram[cell + 2]! + 1
    }
  }
  return histogram
}

const leafOf = (
  growing: Growing,
  options: TreeOptions,
  leaf: Pick<Leaf, 'node' | 'rows' | 'histogram'>,
): Leaf => {
  let gradient = 0
  let hessian = 0
  for (let bin = 0; bin < BINS; bin++) {
    gradient += leaf.histogram[bin * 3]!
    hessian += leaf.histogram[bin * 3 + 1]!
  }
  const whole = { ...leaf, gradient, hessian, split: null }
  return { ...whole, split: bestSplit(growing.binned, options, whole) }
}

const bestSplit = (binned: Binned, options: TreeOptions, leaf: Leaf): Split | null => {
  const { ridge, leafRowsMin } = options
  const whole = (leaf.gradient * leaf.gradient) / (leaf.hessian + ridge)
  let best: Split | null = null
  for (let feature = 0; feature < binned.bins.length; feature++) {
    let gradient = 0
    let hessian = 0
    let rows = 0
    for (let bin = 0; bin < binned.edges[feature]!.length; bin++) {
      const cell = (feature * BINS + bin) * 3
      gradient += leaf.histogram[cell]!
      hessian += leaf.histogram[cell + 1]!
      rows += leaf.histogram[cell + 2]!
      if (rows < leafRowsMin) continue
      if (leaf.rows.length - rows < leafRowsMin) break
      const other = leaf.gradient - gradient
      const gain =
        (gradient * gradient) / (hessian + ridge) + (other * other) / (leaf.hessian - hessian + ridge) - whole
      if (gain > (best?.gain ?? 1e-3)) best = { feature, bin, gain }
    }
  }
  return best
}

const splitLeaf = (
  growing: Growing,
  options: TreeOptions,
  leaf: Leaf,
  nodes: TrainedNode[],
): [Leaf, Leaf] => {
  const { feature, bin } = leaf.split!
  const bins = growing.binned.bins[feature]!
  const left = leaf.rows.filter((row) => bins[row]! <= bin)
  const right = leaf.rows.filter((row) => bins[row]! > bin)
  // The larger child is what the smaller one leaves of its parent.
  const smaller = histogramOf(growing, left.length < right.length ? left : right)
  const larger = leaf.histogram.map((number, cell) => number - smaller[cell]!)
  const parent = nodes[leaf.node]!
  parent.feature = feature
  parent.threshold = Math.floor(growing.binned.edges[feature]![bin]!)
  parent.left = nodes.length
  parent.right = nodes.length + 1
  nodes.push(emptyNode(), emptyNode())
  const isLeftSmaller = left.length < right.length
  const pair: [Leaf, Leaf] = [
    leafOf(growing, options, { node: parent.left, rows: left, histogram: isLeftSmaller ? smaller : larger }),
    leafOf(growing, options, {
      node: parent.right,
      rows: right,
      histogram: isLeftSmaller ? larger : smaller,
    }),
  ]
  for (const child of pair) nodes[child.node]!.value = stepOf(child, options)
  return pair
}
