/**
 * The life of a break, as events: it opens, may change its kind, is owned and noted, is resolved under four eyes or closed by a match,
 * and may open again. An approved write-off is posted first and closes when the ledger has applied it. Nothing is deleted: the state
 * is a fold of its history. Pure; times are those of ticks.
 */
import { type BreakKind, SEVERITIES, type Severity } from './classify.ts'

/** What a person may want to come of it. */
export type Resolution =
  /** Items of both sides are the same money. */
  | { readonly kind: 'match'; readonly ledger: readonly string[]; readonly bank: readonly string[] }
  /** What the bank's items are more or less than the ledger's is posted against this account, as a transaction. */
  | {
      readonly kind: 'write_off'
      readonly account: string
      readonly ledger: readonly string[]
      readonly bank: readonly string[]
    }
  /** A match was wrong: these are not the same money, and no pass may pair them again. */
  | { readonly kind: 'unmatch'; readonly ledger: readonly string[]; readonly bank: readonly string[] }
  /** Nothing is to be done. */
  | { readonly kind: 'ignore' }

/** How it ended. */
export type Ending =
  | { readonly by: 'match'; readonly match: string }
  /** The item is gone from what is looked at: matched by a person through another break, or no break any more. */
  | { readonly by: 'cleared'; readonly why: string }
  | {
      readonly by: 'resolution'
      readonly resolution: Resolution
      readonly maker: string
      readonly checker: string
      /** Of a write-off: the ledger's items of its transaction. */
      readonly entries?: readonly string[]
    }

/** The transaction of a write-off: what is published, and by what its outcome is known again. */
export interface WriteOff {
  /** Of the source WRITE_OFF_SOURCE. */
  readonly transactionId: string
  readonly debit: string
  readonly credit: string
  /** Minor units above zero, as text: events are kept as JSON. */
  readonly amountMinor: string
  /** ISO 4217 code. */
  readonly currency: string
  /** When it was approved, ms since 1970. */
  readonly occurredAtMs: number
}

interface At {
  /** Tick, ms since 1970. */
  readonly atMs: number
}

export type BreakEvent = At &
  (
    | { readonly type: 'opened'; readonly kind: BreakKind; readonly related: readonly string[] }
    | { readonly type: 'changed'; readonly kind: BreakKind; readonly related: readonly string[] }
    | { readonly type: 'assigned'; readonly owner: string | null; readonly actor: string }
    | { readonly type: 'noted'; readonly text: string; readonly actor: string }
    | {
        readonly type: 'proposed'
        readonly resolution: Resolution
        readonly reason: string
        readonly actor: string
      }
    | { readonly type: 'refused'; readonly reason: string; readonly actor: string }
    /** A write-off was approved: its transaction is on its way. */
    | { readonly type: 'posting'; readonly writeOff: WriteOff; readonly checker: string }
    /** The ledger refused the transaction: the break is open again. */
    | { readonly type: 'posting_failed'; readonly reason: string }
    /** It became graver, by its amount or its age: what alarms go by. */
    | { readonly type: 'escalated'; readonly severity: Severity; readonly ageDays: number }
    | { readonly type: 'closed'; readonly ending: Ending }
    | { readonly type: 'reopened'; readonly kind: BreakKind; readonly related: readonly string[] }
  )

export interface BreakState {
  readonly status: 'open' | 'proposed' | 'posting' | 'closed'
  readonly kind: BreakKind
  readonly related: readonly string[]
  readonly openedAtMs: number
  /** The gravest that it ever had. */
  readonly severity: Severity
  readonly owner: string | null
  readonly proposal: {
    readonly resolution: Resolution
    readonly reason: string
    readonly maker: string
  } | null
  /** The write-off under way; null in every other status. */
  readonly posting: { readonly writeOff: WriteOff; readonly checker: string } | null
  readonly ending: Ending | null
  readonly history: readonly BreakEvent[]
}

/** What people ask for. */
export type BreakCommand =
  | { readonly type: 'assign'; readonly owner: string | null; readonly actor: string }
  | { readonly type: 'note'; readonly text: string; readonly actor: string }
  | {
      readonly type: 'propose'
      readonly resolution: Resolution
      readonly reason: string
      readonly actor: string
    }
  /** The second pair of eyes. */
  | { readonly type: 'approve'; readonly actor: string }
  | { readonly type: 'refuse'; readonly reason: string; readonly actor: string }
  /** Undoes a resolution: the break opens again. Anybody may but the one who approved it. */
  | { readonly type: 'reopen'; readonly kind: BreakKind; readonly reason: string; readonly actor: string }

/** Why nothing was done; a closed list, in this order of precedence. */
export type BreakRefusal =
  | 'actor_missing'
  | 'break_unknown'
  | 'break_closed'
  | 'break_not_closed'
  | 'text_missing'
  | 'text_too_long'
  | 'already_proposed'
  | 'nothing_proposed'
  | 'maker_is_checker'
  | 'items_missing'
  | 'posting_under_way'
  | 'written_off'

export type BreakDecision = { readonly events: readonly BreakEvent[] } | { readonly refusal: BreakRefusal }

export const TEXT_LENGTH_MAX = 2_000

const refuse = (refusal: BreakRefusal): BreakDecision => ({ refusal })

/**
 * What comes of a command.
 * @param state null = there is no such break
 * @param writeOff The transaction, where a write-off is approved
 */
export function decideBreak(
  state: BreakState | null,
  command: BreakCommand,
  atMs: number,
  writeOff: WriteOff | null = null,
): BreakDecision {
  const { actor } = command
  if (actor === '') return refuse('actor_missing')
  if (state === null) return refuse('break_unknown')
  const isClosed = state.status === 'closed'
  if (isClosed && command.type !== 'note' && command.type !== 'reopen') return refuse('break_closed')
  const text = textOf(command)
  if (text !== null && text.trim() === '') return refuse('text_missing')
  if (text !== null && text.length > TEXT_LENGTH_MAX) return refuse('text_too_long')
  if (state.status === 'posting' && !['assign', 'note'].includes(command.type)) {
    return refuse('posting_under_way')
  }
  switch (command.type) {
    case 'assign':
      return { events: [{ type: 'assigned', owner: command.owner, actor, atMs }] }
    case 'note':
      return { events: [{ type: 'noted', text: command.text, actor, atMs }] }
    case 'propose': {
      if (state.proposal !== null) return refuse('already_proposed')
      const { resolution, reason } = command
      if (!hasItems(resolution)) return refuse('items_missing')
      return { events: [{ type: 'proposed', resolution, reason, actor, atMs }] }
    }
    case 'approve': {
      const { proposal } = state
      if (proposal === null) return refuse('nothing_proposed')
      if (proposal.maker === actor) return refuse('maker_is_checker')
      if (writeOff !== null) return { events: [{ type: 'posting', writeOff, checker: actor, atMs }] }
      const ending: Ending = {
        by: 'resolution',
        resolution: proposal.resolution,
        maker: proposal.maker,
        checker: actor,
      }
      return { events: [{ type: 'closed', ending, atMs }] }
    }
    case 'refuse':
      if (state.proposal === null) return refuse('nothing_proposed')
      // Whoever proposed may take it back.
      return { events: [{ type: 'refused', reason: command.reason, actor, atMs }] }
    case 'reopen':
      return decideReopening(state, command, atMs)
  }
}

function hasItems(resolution: Resolution): boolean {
  if (resolution.kind === 'ignore') return true
  const { ledger, bank } = resolution
  return resolution.kind === 'write_off'
    ? ledger.length + bank.length > 0
    : ledger.length > 0 && bank.length > 0
}

/** What follows from the outcome of a write-off's transaction. @param outcome the ledger's items of it, or why it was refused */
export function endPosting(
  { posting, proposal }: BreakState,
  outcome: { readonly entries: readonly string[] } | { readonly refused: string },
  atMs: number,
): BreakEvent {
  if (posting === null || proposal === null) throw new Error('nothing is being posted')
  if ('refused' in outcome) return { type: 'posting_failed', reason: outcome.refused, atMs }
  const { resolution, maker } = proposal
  const { checker } = posting
  const ending: Ending = { by: 'resolution', resolution, maker, checker, entries: outcome.entries }
  return { type: 'closed', ending, atMs }
}

/** What was approved is undone by somebody else, and from then on is as open as before. */
function decideReopening(
  { status, ending }: BreakState,
  { kind, reason, actor }: Extract<BreakCommand, { type: 'reopen' }>,
  atMs: number,
): BreakDecision {
  if (status !== 'closed' || ending?.by !== 'resolution') return refuse('break_not_closed')
  // What is in the ledger stays there: its reversal is a new entry, and a break of its own.
  if (ending.resolution.kind === 'write_off') return refuse('written_off')
  if (ending.checker === actor) return refuse('maker_is_checker')
  return {
    events: [
      { type: 'noted', text: reason, actor, atMs },
      { type: 'reopened', kind, related: [], atMs },
    ],
  }
}

function textOf(command: BreakCommand): string | null {
  if (command.type === 'note') return command.text
  return 'reason' in command ? command.reason : null
}

/** What matching says of an item now: a break of that kind, or none any more. */
export type Observation =
  | { readonly kind: BreakKind; readonly related: readonly string[] }
  | { readonly ending: Exclude<Ending, { by: 'resolution' }> }

/** The events that follow from an observation; none where it says nothing new. What people resolved stays resolved. */
export function observeBreak(
  state: BreakState | null,
  observation: Observation,
  atMs: number,
): readonly BreakEvent[] {
  if ('ending' in observation) {
    if (state === null || state.status === 'closed' || state.status === 'posting') return []
    return [{ type: 'closed', ending: observation.ending, atMs }]
  }
  const { kind, related } = observation
  if (state === null) return [{ type: 'opened', kind, related, atMs }]
  if (state.status === 'closed') {
    return state.ending?.by === 'resolution' ? [] : [{ type: 'reopened', kind, related, atMs }]
  }
  if (state.status === 'posting') return []
  const isSame = state.kind === kind && state.related.join('\n') === related.join('\n')
  return isSame ? [] : [{ type: 'changed', kind, related, atMs }]
}

/** The event that follows where an open break is graver than it was; it never becomes less grave. */
export function escalateBreak(
  state: BreakState | null,
  now: { readonly severity: Severity; readonly ageDays: number },
  atMs: number,
): readonly BreakEvent[] {
  if (state === null || state.status === 'closed') return []
  const isGraver = SEVERITIES.indexOf(now.severity) > SEVERITIES.indexOf(state.severity)
  return isGraver ? [{ type: 'escalated', ...now, atMs }] : []
}

/** The state after an event. @param state null before the first @throws Error where the event can't follow */
export function evolveBreak(state: BreakState | null, event: BreakEvent): BreakState {
  if (state === null) {
    if (event.type !== 'opened') throw new Error(`a break begins with opened, not ${event.type}`)
    const { kind, related, atMs } = event
    return {
      status: 'open',
      kind,
      related,
      openedAtMs: atMs,
      severity: 'low',
      owner: null,
      proposal: null,
      posting: null,
      ending: null,
      history: [event],
    }
  }
  return { ...state, ...changeOf(event), history: [...state.history, event] }
}

function changeOf(event: BreakEvent): Partial<BreakState> {
  switch (event.type) {
    case 'opened':
      throw new Error('a break opens once')
    case 'changed':
      return { kind: event.kind, related: event.related }
    case 'escalated':
      return { severity: event.severity }
    case 'assigned':
      return { owner: event.owner }
    case 'noted':
      return {}
    case 'proposed':
      return {
        status: 'proposed',
        proposal: { resolution: event.resolution, reason: event.reason, maker: event.actor },
      }
    case 'refused':
      return { status: 'open', proposal: null }
    case 'posting':
      return { status: 'posting', posting: { writeOff: event.writeOff, checker: event.checker } }
    case 'posting_failed':
      return { status: 'open', proposal: null, posting: null }
    case 'closed':
      return { status: 'closed', proposal: null, posting: null, ending: event.ending }
    case 'reopened':
      return { status: 'open', kind: event.kind, related: event.related, ending: null }
  }
}
