/** Accounts and rules as their topics say, change by change; and which rules a payment meets. */
import type { AccountInput, InputPosting, RuleInput } from './input-log.ts'

export interface BookAccount {
  readonly id: string
  readonly currency: string
  readonly accountClass: string
  readonly normalSide: string
  readonly reversalMayOverdraw: boolean
  limited: boolean
  /** Minor units; 0 where there is no limit. */
  overdraftLimit: bigint
  status: 'open' | 'frozen'
  posted: bigint
  reserved: bigint
}

export interface BookRule extends RuleInput {
  /** Sequence of the batch that brought it. */
  readonly version: bigint
}

/** What the rules say of a payment. */
export interface Suspicion {
  readonly action: 'alert' | 'hold' | 'reject'
  readonly payer: string
  /** `rule@version value>threshold` of each rule that fires, by rule id. */
  readonly hits: readonly string[]
}

const STRONGEST_FIRST = ['reject', 'hold', 'alert'] as const

export class ReferenceBook {
  readonly accounts = new Map<string, BookAccount>()
  readonly rules = new Map<string, BookRule>()

  /** @returns why it is refused; `unchanged` where it has no effect; else null */
  changeAccount(change: AccountInput): string | null {
    const account = this.accounts.get(change.accountId)
    if (change.action === 'open') return this.#open(change, account)
    if (account === undefined) return 'unknown_account'
    if (change.action === 'freeze') account.status = 'frozen'
    else if (change.action === 'unfreeze') {
      if (account.status !== 'frozen') return 'not_frozen'
      account.status = 'open'
    } else if (change.action === 'set_limit') {
      account.limited = change.limited
      account.overdraftLimit = change.limited ? change.overdraftLimit : 0n
    } else throw new Error(`the load sends no ${change.action} of an account`)
    return null
  }

  #open(change: AccountInput, account: BookAccount | undefined): string | null {
    const { accountId, currency, accountClass, normalSide, reversalMayOverdraw, limited } = change
    if (account !== undefined) {
      const isSame =
        account.currency === currency &&
        account.accountClass === accountClass &&
        account.normalSide === normalSide &&
        account.reversalMayOverdraw === reversalMayOverdraw
      return isSame ? 'unchanged' : 'exists_with_other_content'
    }
    this.accounts.set(accountId, {
      id: accountId,
      currency: currency ?? '',
      ...{ accountClass, normalSide, reversalMayOverdraw, limited },
      overdraftLimit: limited ? change.overdraftLimit : 0n,
      status: 'open',
      posted: 0n,
      reserved: 0n,
    })
    return null
  }

  /** @returns why it is refused, else null */
  changeRule(change: RuleInput, version: bigint): string | null {
    if (change.type !== 'amount_limit') throw new Error(`the load sends no ${change.type} rule`)
    if (change.threshold < 0n || change.currency === null) return 'rule_invalid'
    this.rules.set(change.ruleId, { ...change, version })
    return null
  }

  /** The payer is the first posting's debit account, where that is a customer's. */
  suspicionOf(postings: readonly InputPosting[]): Suspicion | null {
    const payer = this.accounts.get(postings[0]?.debit ?? '')
    if (payer?.accountClass !== 'customer') return null
    const paid = postings.reduce((sum, { debit, amount }) => (debit === payer.id ? sum + amount : sum), 0n)
    const fired = [...this.rules.values()].filter(
      ({ enabled, currency, threshold }) => enabled && currency === payer.currency && paid > threshold,
    )
    const action = STRONGEST_FIRST.find((each) => fired.some((rule) => rule.action === each))
    if (action === undefined) return null
    const hits = fired.map((rule) => describeHit({ ...rule, value: paid })).sort()
    return { action, payer: payer.id, hits }
  }
}

export const describeHit = (hit: {
  ruleId: string
  version: bigint
  value: bigint
  threshold: bigint
}): string => `${hit.ruleId}@${hit.version} ${hit.value}>${hit.threshold}`
