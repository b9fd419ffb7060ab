/**
 * Rulebooks under four eyes: one actor proposes the text, another one approves that very version, and from the next record on it is
 * in force. Both are records of the topic `rules`, of the types and under the names `rulebook_proposal` and `rulebook`.
 */
import { problemOfRulebook } from '../fraud/rulebook/engine.ts'
import type { Rule } from '../fraud/rules.ts'
import type { RuleChange } from '../transactions/command.ts'
import { RULEBOOK_LENGTH_MAX } from '../transactions/limits.ts'
import type { Refusal } from '../transactions/outcomes.ts'
import type { LedgerState } from './state.ts'

/** Why a proposal or an approval is refused; null where it isn't, and for all other rules. */
export const refusalOfRulebook = (state: LedgerState, change: RuleChange): Refusal | null => {
  if (change.type === 'rulebook_proposal') {
    const { definition = null } = change
    if (definition === null || (change.approves ?? null) !== null) return 'rulebook_invalid'
    if (definition.length > RULEBOOK_LENGTH_MAX) return 'field_too_long'
    return problemOfRulebook(definition) === null ? null : 'rulebook_invalid'
  }
  if (change.type !== 'rulebook') return null
  const proposal = proposalOf(state)
  if ((change.definition ?? null) !== null) return 'rulebook_invalid'
  if (proposal === undefined || proposal.version !== change.approves) return 'proposal_unknown'
  return change.actor === '' || change.actor === proposal.actor ? 'approver_is_author' : null
}

/** An approval carries what it brings into force and who wrote it. */
export const approvedRule = (state: LedgerState, rule: Rule): Rule => {
  if (rule.type !== 'rulebook') return rule
  const proposal = proposalOf(state)!
  return { ...rule, definition: proposal.definition ?? null, author: proposal.actor }
}

const proposalOf = (state: LedgerState): Rule | undefined =>
  state.rules.find(({ type }) => type === 'rulebook_proposal')
