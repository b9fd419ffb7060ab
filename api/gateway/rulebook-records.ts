/** Records that propose a rulebook and bring one into force, as the API and the command line publish them on the topic `rules`. */
import type { IngestRecord } from '#api/gateway/ingest-gateway.ts'
import { problemOfRulebook } from '#domain/fraud/rulebook/engine.ts'
import { RULEBOOK_LENGTH_MAX } from '#domain/transactions/limits.ts'

/** What both have in common: only the type, the text and the actor mean something. */
const BLANK = { currency: null, threshold: 0n, windowMs: 0, action: 'alert', enabled: true } as const

/** What is wrong with a rulebook, with its places; null where nothing is. The engine looks again. @param definition JSON text */
export const problemOfDefinition = (definition: string): string | null =>
  definition.length > RULEBOOK_LENGTH_MAX
    ? `expected at most ${RULEBOOK_LENGTH_MAX} characters, found ${definition.length}`
    : problemOfRulebook(definition)

/** Proposes a rulebook. @param definition JSON text in which `problemOfDefinition` found nothing */
export const proposalRecord = (definition: string, actor: string): IngestRecord => ({
  ...BLANK,
  ruleId: 'rulebook_proposal',
  type: 'rulebook_proposal',
  definition,
  actor,
})

/** Brings the proposal of a version into force. */
export const approvalRecord = (version: bigint, actor: string): IngestRecord => ({
  ...BLANK,
  ruleId: 'rulebook',
  type: 'rulebook',
  approves: version,
  actor,
})
