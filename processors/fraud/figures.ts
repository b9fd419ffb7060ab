/** How well scores find frauds: the figures of the Fraud Detection Handbook (Le Borgne et al., 2022, chapter 4). */

export interface ScoredPayment {
  readonly score: number
  readonly isFraud: boolean
  readonly account: string
  /** Whole days since 1970. */
  readonly day: number
}

export interface Figures {
  readonly payments: number
  readonly frauds: number
  /** Area under the ROC curve: how likely a fraud is scored above a genuine payment. */
  readonly rocAuc: number
  readonly averagePrecision: number
  /** Share of the 100 highest scored accounts of a day that had a fraud on it; found ones are left out on later days. */
  readonly cardPrecisionAt100: number
}

const TOP = 100

/** Figures of scored payments; equal scores count as the mean of all their orders (ROC) or as one threshold (precision). */
export const figuresOf = (payments: readonly ScoredPayment[]): Figures => {
  const sorted = [...payments].sort((a, b) => b.score - a.score)
  const frauds = sorted.filter((each) => each.isFraud).length
  const genuine = sorted.length - frauds
  let [seen, found, wrongPairs, precision] = [0, 0, 0, 0]
  for (let at = 0; at < sorted.length; ) {
    let end = at
    let inTie = 0
    while (end < sorted.length && sorted[end]!.score === sorted[at]!.score)
      if (sorted[end++]!.isFraud) inTie += 1
    const genuineInTie = end - at - inTie
    wrongPairs += genuineInTie * (frauds - found - inTie / 2)
    found += inTie
    seen = end
    precision += (inTie * found) / seen
    at = end
  }
  return {
    payments: sorted.length,
    frauds,
    rocAuc: frauds === 0 || genuine === 0 ? 0 : 1 - wrongPairs / (frauds * genuine),
    averagePrecision: frauds === 0 ? 0 : precision / frauds,
    cardPrecisionAt100: cardPrecision(payments),
  }
}

const cardPrecision = (payments: readonly ScoredPayment[]): number => {
  const days = [...new Set(payments.map(({ day }) => day))].sort((a, b) => a - b)
  const found = new Set<string>()
  let sum = 0
  for (const day of days) {
    const accounts = new Map<string, { score: number; isFraud: boolean }>()
    for (const { account, score, isFraud, day: on } of payments) {
      if (on !== day || found.has(account)) continue
      const known = accounts.get(account)
      accounts.set(account, {
        score: Math.max(score, known?.score ?? score),
        isFraud: isFraud || known?.isFraud === true,
      })
    }
    const top = [...accounts].sort(([, a], [, b]) => b.score - a.score).slice(0, TOP)
    const hits = top.filter(([, each]) => each.isFraud)
    for (const [account] of hits) found.add(account)
    sum += hits.length / TOP
  }
  return days.length === 0 ? 0 : sum / days.length
}
