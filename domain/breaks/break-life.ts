/**
 * The life of a break, as events: it opens, may change its kind, is owned and noted, is resolved under four eyes or closed by a match,
 * and may open again. Nothing is deleted: the state is a fold of its history. Pure; times are those of ticks.
 */
import type { BreakKind } from './classify.ts'

/** What a person may want to come of it. */
export type Resolution =
  /** Items of both sides are the same money. */
  | { readonly kind: 'match'; readonly ledger: readonly string[]; readonly bank: readonly string[] }
  /** The amount is posted against this account, as a transaction. */
  | { readonly kind: 'write_off'; readonly account: string }
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
    | { readonly type: 'closed'; readonly ending: Ending }
    | { readonly type: 'reopened'; readonly kind: BreakKind; readonly related: readonly string[] }
  )

export interface BreakState {
  readonly status: 'open' | 'proposed' | 'closed'
  readonly kind: BreakKind
  readonly related: readonly string[]
  readonly openedAtMs: number
  readonly owner: string | null
  readonly proposal: {
    readonly resolution: Resolution
    readonly reason: string
    readonly maker: string
  } | null
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

export type BreakDecision = { readonly events: readonly BreakEvent[] } | { readonly refusal: BreakRefusal }

export const TEXT_LENGTH_MAX = 2_000

const refuse = (refusal: BreakRefusal): BreakDecision => ({ refusal })

/** What comes of a command. @param state null = there is no such break */
export function decideBreak(state: BreakState | null, command: BreakCommand, atMs: number): BreakDecision {
  const { actor } = command
  if (actor === '') return refuse('actor_missing')
  if (state === null) return refuse('break_unknown')
  const isClosed = state.status === 'closed'
  if (isClosed && command.type !== 'note' && command.type !== 'reopen') return refuse('break_closed')
  const text = textOf(command)
  if (text !== null && text.trim() === '') return refuse('text_missing')
  if (text !== null && text.length > TEXT_LENGTH_MAX) return refuse('text_too_long')
  switch (command.type) {
    case 'assign':
      return { events: [{ type: 'assigned', owner: command.owner, actor, atMs }] }
    case 'note':
      return { events: [{ type: 'noted', text: command.text, actor, atMs }] }
    case 'propose': {
      if (state.proposal !== null) return refuse('already_proposed')
      const { resolution, reason } = command
      if (resolution.kind === 'match' && (resolution.ledger.length === 0 || resolution.bank.length === 0)) {
        return refuse('items_missing')
      }
      return { events: [{ type: 'proposed', resolution, reason, actor, atMs }] }
    }
    case 'approve': {
      const { proposal } = state
      if (proposal === null) return refuse('nothing_proposed')
      if (proposal.maker === actor) return refuse('maker_is_checker')
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

/** What was approved is undone by somebody else, and from then on is as open as before. */
function decideReopening(
  { status, ending }: BreakState,
  { kind, reason, actor }: Extract<BreakCommand, { type: 'reopen' }>,
  atMs: number,
): BreakDecision {
  if (status !== 'closed' || ending?.by !== 'resolution') return refuse('break_not_closed')
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
    if (state === null || state.status === 'closed') return []
    return [{ type: 'closed', ending: observation.ending, atMs }]
  }
  const { kind, related } = observation
  if (state === null) return [{ type: 'opened', kind, related, atMs }]
  if (state.status === 'closed') {
    return state.ending?.by === 'resolution' ? [] : [{ type: 'reopened', kind, related, atMs }]
  }
  const isSame = state.kind === kind && state.related.join('\n') === related.join('\n')
  return isSame ? [] : [{ type: 'changed', kind, related, atMs }]
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
      owner: null,
      proposal: null,
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
    case 'closed':
      return { status: 'closed', proposal: null, ending: event.ending }
    case 'reopened':
      return { status: 'open', kind: event.kind, related: event.related, ending: null }
  }
}
