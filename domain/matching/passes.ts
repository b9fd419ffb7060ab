/**
 * How a pair of sources is matched: passes, in order. A pass only sees what the passes before it left open.
 *
 * A pass cuts the open items into groups by a key; what it does with a group depends on that group alone. That makes the result a
 * function of the set of items: whatever the order of arrival, and wherever batches are cut.
 */

/** What a pass may group by. The account is always part of the key, the currency too unless amounts are compared through rates. */
export type KeyField =
  | 'endToEndId'
  /** Its first 16 characters, all that MT field 61 keeps; only references that long have one. */
  | 'endToEndIdCut'
  | 'uetr'
  | 'transactionId'
  | 'creditorReference'
  | 'groupKey'
  | 'counterpartyAccount'
  /** Currency and amount as instructed, for payments in another currency. */
  | 'original'
  /** The value date, else the booking date. */
  | 'day'

/** How far apart two amounts of one currency may be. A difference is always ledger less bank, minor units. */
export interface Tolerance {
  /** Either way. */
  readonly absoluteMinor: bigint
  /** Either way, of the larger amount, in millionths. */
  readonly perMillion: number
  /** Fees that the bank takes on the way: the bank's amount is lower by exactly one of these. */
  readonly feesMinor: readonly bigint[]
}

/** A price of one unit of `from` in `to`, as a fraction of minor units, so that nothing is rounded but the result. */
export interface Rate {
  readonly from: string
  readonly to: string
  readonly numerator: bigint
  readonly denominator: bigint
}

export type AmountRule =
  | { readonly kind: 'exact' }
  | { readonly kind: 'tolerance'; readonly tolerance: Tolerance }
  /** The ledger's amount at a rate against the bank's in another currency. */
  | { readonly kind: 'rate'; readonly rates: readonly Rate[]; readonly tolerance: Tolerance }

interface PassBase {
  /** Unique among the passes of a pair. */
  readonly name: string
  readonly key: readonly KeyField[]
  /** Most days between the two sides (pair, subset) or between the first and last item (group); null = any, also without dates. */
  readonly windowDays: number | null
  /** Confidence in thousandths that is written to its matches. */
  readonly score: number
  /** Larger groups are left open and say so: what many share tells nothing. */
  readonly groupMax: number
}

/** One against one: matched where each is the other's only candidate. */
export interface PairPass extends PassBase {
  readonly kind: 'pair'
  readonly amount: AmountRule
  /** Several candidates: `open` leaves all; `nearest` takes those that are strictly nearest by date for each other. */
  readonly ties: 'open' | 'nearest'
}

/** All items of one key against each other: matched where the sums of both sides agree. */
export interface GroupPass extends PassBase {
  readonly kind: 'group'
  readonly tolerance: Tolerance
  /** Whether several may stand on both sides. One against several is always allowed. */
  readonly manyToMany: boolean
}

/** One item against a set of 2 to `membersMax` of the other side with the same sign: matched where exactly one set adds up. */
export interface SubsetPass extends PassBase {
  readonly kind: 'subset'
  readonly membersMax: number
  /** With more candidates than these for one item nothing is tried: a sum would be found by chance. */
  readonly candidatesMax: number
}

export type Pass = PairPass | GroupPass | SubsetPass

export const NO_TOLERANCE: Tolerance = { absoluteMinor: 0n, perMillion: 0, feesMinor: [] }

const GROUP_MAX = 2_000
/** A payment and its booking, over weekends and holidays. */
const WINDOW_DAYS = 5
/** References come again (standing orders carry theirs every month), so they have a window too. */
const REFERENCE_WINDOW_DAYS = 10

const byReference = (field: KeyField, score: number): PairPass => ({
  kind: 'pair',
  name: `reference:${field}`,
  key: [field],
  amount: { kind: 'exact' },
  windowDays: REFERENCE_WINDOW_DAYS,
  ties: 'nearest',
  score,
  groupMax: GROUP_MAX,
})

/** Passes for a nostro or clearing account against its bank statements. @param tolerance What is accepted where a reference agrees */
export function defaultPasses(tolerance: Tolerance): readonly Pass[] {
  return [
    byReference('uetr', 1000),
    byReference('endToEndId', 1000),
    byReference('transactionId', 1000),
    byReference('creditorReference', 990),
    { ...byReference('endToEndIdCut', 970), ties: 'open' },
    {
      kind: 'group',
      name: 'group:key',
      key: ['groupKey'],
      tolerance: NO_TOLERANCE,
      manyToMany: true,
      windowDays: REFERENCE_WINDOW_DAYS,
      score: 980,
      groupMax: 10_000,
    },
    {
      kind: 'group',
      name: 'group:endToEndId',
      key: ['endToEndId'],
      tolerance: NO_TOLERANCE,
      manyToMany: false,
      windowDays: REFERENCE_WINDOW_DAYS,
      score: 980,
      groupMax: GROUP_MAX,
    },
    {
      kind: 'pair',
      name: 'tolerance:endToEndId',
      key: ['endToEndId'],
      amount: { kind: 'tolerance', tolerance },
      windowDays: REFERENCE_WINDOW_DAYS,
      ties: 'open',
      score: 950,
      groupMax: GROUP_MAX,
    },
    {
      kind: 'pair',
      name: 'amount:counterparty',
      key: ['counterpartyAccount'],
      amount: { kind: 'exact' },
      windowDays: WINDOW_DAYS,
      ties: 'open',
      score: 960,
      groupMax: GROUP_MAX,
    },
    {
      kind: 'subset',
      name: 'subset:counterparty',
      key: ['counterpartyAccount'],
      windowDays: WINDOW_DAYS,
      membersMax: 8,
      candidatesMax: 12,
      score: 900,
      groupMax: 200,
    },
    {
      kind: 'pair',
      name: 'amount:date',
      key: [],
      amount: { kind: 'exact' },
      windowDays: WINDOW_DAYS,
      ties: 'open',
      score: 900,
      groupMax: GROUP_MAX,
    },
  ]
}

const LIMITS = { windowDays: 366, groupMax: 100_000, membersMax: 12, candidatesMax: 24 } as const

/** What is wrong with passes, in words for whoever wrote them; empty = nothing. */
export function passProblems(passes: readonly Pass[]): string[] {
  const problems: string[] = []
  const names = new Set<string>()
  if (passes.length === 0) problems.push('expected at least one pass')
  for (const pass of passes) {
    const say = (text: string) => problems.push(`pass "${pass.name}": ${text}`)
    if (names.has(pass.name)) say('expected a name of its own')
    names.add(pass.name)
    if (!isWhole(pass.windowDays ?? 0, 0, LIMITS.windowDays))
      say(`expected windowDays from 0 to ${LIMITS.windowDays} or null`)
    if (!isWhole(pass.groupMax, 2, LIMITS.groupMax)) say(`expected groupMax from 2 to ${LIMITS.groupMax}`)
    if (!isWhole(pass.score, 0, 1_000)) say('expected a score from 0 to 1000')
    if (pass.windowDays === null && pass.key.length === 0)
      say('expected a key or a window: amounts alone agree by chance')
    if (pass.kind === 'group' && pass.key.length === 0) say('expected a key: a group is what shares one')
    if (pass.kind === 'pair' && pass.amount.kind !== 'exact' && pass.key.length === 0)
      say('expected a key: near amounts alone agree by chance')
    if (pass.kind === 'subset') {
      if (!isWhole(pass.membersMax, 2, LIMITS.membersMax))
        say(`expected membersMax from 2 to ${LIMITS.membersMax}`)
      if (!isWhole(pass.candidatesMax, 2, LIMITS.candidatesMax))
        say(`expected candidatesMax from 2 to ${LIMITS.candidatesMax}`)
    }
  }
  return problems
}

const isWhole = (value: number, min: number, max: number): boolean =>
  Number.isSafeInteger(value) && value >= min && value <= max
