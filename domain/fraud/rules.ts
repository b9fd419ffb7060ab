/** Fraud rules: data in the serial history, versioned; the newest version of each name is in force. */
import type { RuleChange } from '../transactions/command.ts'
import { HORIZON_RULES } from '../transactions/limits.ts'

export interface Rule extends RuleChange {
  /** Sequence of the batch that made it. */
  readonly version: bigint
  /** Horizons only (domain/ledger/horizons.ts): what earlier versions had reached, ms since 1970; null = nothing. */
  readonly fromMs?: number | null
  /** Rulebooks only: who proposed what is in force. */
  readonly author?: string
}

/** One rule that fired, explained. */
export interface RuleHit {
  readonly ruleId: string
  readonly version: bigint
  /** What was seen: minor units or a count, this transaction included. */
  readonly value: bigint
  /** What is allowed. */
  readonly threshold: bigint
  /** none: it only counts for a typology; shadow: it does nothing. */
  readonly action: 'none' | 'shadow' | 'alert' | 'hold' | 'reject'
  /** What it adds to the score of the typologies that name it; a typology's own: its score. */
  readonly points: number
  /** The explanation in words. */
  readonly words: string
}

const looksForFraud = (rule: Rule): boolean => !(HORIZON_RULES as readonly string[]).includes(rule.type)

const byRuleId = (a: Rule, b: Rule): number => (a.ruleId < b.ruleId ? -1 : a.ruleId > b.ruleId ? 1 : 0)

/**
 * The fraud rules in force out of all versions, sorted by rule id (UTF-16 code units): of each name the highest version, and of
 * equal versions the one that comes last; without those that are switched off and those that set horizons.
 */
export const activeRules = (versions: Iterable<Rule>): readonly Rule[] => {
  const newest = new Map<string, Rule>()
  for (const rule of versions) {
    const known = newest.get(rule.ruleId)
    if (known === undefined || rule.version >= known.version) newest.set(rule.ruleId, rule)
  }
  return [...newest.values()].filter((rule) => rule.enabled && looksForFraud(rule)).sort(byRuleId)
}

/** The rules in force once a new version is added to those that were: it takes the place of its name's older one. */
export const withRule = (active: readonly Rule[], added: Rule): readonly Rule[] => {
  const others = active.filter((rule) => rule.ruleId !== added.ruleId)
  return added.enabled ? [...others, added].sort(byRuleId) : others
}
