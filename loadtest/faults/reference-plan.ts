/**
 * What a run changes besides sending transactions: fraud rules, limits and states of accounts, and reviews of what was held. Some of
 * it is to be refused.
 */
import type { SeededRandom } from './seeded-random.ts'

/** One record to send to another topic than `transactions`; all of its topic go to one partition. */
export interface ReferenceRecord {
  readonly topic: 'accounts' | 'rules' | 'reviews'
  readonly key: string
  readonly value: Readonly<Record<string, unknown>>
}

/** A change comes with every so many transactions. */
const CHANGE_EVERY = 150
/** So many transactions after it was frozen an account is open again. */
const FROZEN_FOR = 60
const ACTIONS = ['alert', 'hold', 'reject'] as const
/** Minor units, of payments of up to 100,000. */
const THRESHOLDS: Readonly<Record<(typeof ACTIONS)[number], number>> = {
  alert: 93_000,
  hold: 95_000,
  reject: 99_000,
}
const THRESHOLD_VARIES = 1_000

/** What a rule looks like in every currency, at the beginning. */
export const firstRules = (currencies: readonly string[]): ReferenceRecord[] =>
  currencies.flatMap((currency) =>
    ACTIONS.map((action) => ruleOf({ action, currency, threshold: THRESHOLDS[action], enabled: true })),
  )

const ruleOf = (of: {
  action: (typeof ACTIONS)[number]
  currency: string
  threshold: number
  enabled: boolean
}): ReferenceRecord => {
  const ruleId = `${of.action}-${of.currency}`
  const value = { ...of, ruleId, type: 'amount_limit', threshold: BigInt(of.threshold), windowMs: 0n }
  return { topic: 'rules', key: ruleId, value }
}

/** A reviewer's decision. */
export const reviewOf = (transactionId: string, decision: 'release' | 'decline'): ReferenceRecord => ({
  topic: 'reviews',
  key: transactionId,
  value: { transactionId, decision, reason: '' },
})

/** A change of an account; what it doesn't set stays as the schema has it. */
export const accountChange = (
  action: 'open' | 'freeze' | 'unfreeze' | 'set_limit',
  accountId: string,
  changes: Readonly<Record<string, unknown>> = {},
): ReferenceRecord => ({
  topic: 'accounts',
  key: accountId,
  value: {
    action,
    accountId,
    currency: null,
    accountClass: 'customer',
    normalSide: 'credit',
    limited: true,
    overdraftLimit: 0n,
    reversalMayOverdraw: false,
    ...changes,
  },
})

interface ChangingAccount {
  readonly id: string
  readonly currency: string
  readonly limited: boolean
}

/** Makes the changes, in between the transactions. */
export class ReferencePlan {
  readonly #accounts: readonly ChangingAccount[]
  readonly #random: SeededRandom
  #frozen: { readonly id: string; readonly until: number } | undefined

  constructor(accounts: readonly ChangingAccount[], random: SeededRandom) {
    this.#accounts = accounts
    this.#random = random
  }

  /** What comes with the n-th transaction. */
  next(count: number): ReferenceRecord[] {
    if (this.#frozen !== undefined && this.#frozen.until <= count) {
      const { id } = this.#frozen
      this.#frozen = undefined
      return [accountChange('unfreeze', id)]
    }
    return count % CHANGE_EVERY === 0 ? [this.#change(count)] : []
  }

  #change(count: number): ReferenceRecord {
    const { id, currency, limited } = this.#accounts[this.#random.below(this.#accounts.length)]!
    const limit = BigInt(100_000 + this.#random.below(300_000))
    switch (this.#random.below(8)) {
      case 0:
      case 1:
      case 2:
        return this.#rule(currency)
      case 3:
        // Those without a limit keep the money going round.
        return limited ? accountChange('set_limit', id, { overdraftLimit: limit }) : this.#rule(currency)
      case 4:
        if (this.#frozen !== undefined) return this.#rule(currency)
        this.#frozen = { id, until: count + FROZEN_FOR }
        return accountChange('freeze', id)
      // To be refused: not frozen, nobody's, opened otherwise.
      case 5:
        return accountChange('unfreeze', id)
      case 6:
        return accountChange('set_limit', 'nobody', { overdraftLimit: limit })
      default:
        return accountChange('open', id, { currency, accountClass: 'suspense' })
    }
  }

  #rule(currency: string): ReferenceRecord {
    const action = ACTIONS[this.#random.below(ACTIONS.length)]!
    // One in ten is to be refused, one in ten switches the rule off.
    const kind = this.#random.below(10)
    const threshold = kind === 0 ? -1 : THRESHOLDS[action] + this.#random.below(THRESHOLD_VARIES)
    return ruleOf({ action, currency, threshold, enabled: kind !== 1 })
  }
}
