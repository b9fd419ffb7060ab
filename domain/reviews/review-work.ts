/**
 * Work on a held transaction that decides nothing: somebody takes it, it is assigned or given back, notes are written. Events, of which
 * none is ever changed; who has it is a fold of them. Pure.
 */
import { containsCardNumber } from '../transactions/card-numbers.ts'
import { ACTOR_LENGTH_MAX } from '../transactions/limits.ts'

export type WorkCommand =
  /** The actor takes it: only where nobody else has it. */
  | { readonly type: 'take' }
  /** Somebody is to look at it, whoever has it now. */
  | { readonly type: 'assign'; readonly owner: string }
  | { readonly type: 'give_back' }
  | { readonly type: 'note'; readonly note: string }

export type WorkEvent =
  | { readonly kind: 'assigned'; readonly owner: string; readonly note: null }
  | { readonly kind: 'given_back'; readonly owner: null; readonly note: null }
  | { readonly kind: 'noted'; readonly owner: null; readonly note: string }

/** Why work is refused, and what that means. */
export const WORK_REFUSALS = {
  not_held: 'the transaction is not held',
  taken_by_other: 'somebody else has it; assign it instead',
  not_assigned: 'nobody has it',
  owner_invalid: `a name has 1 to ${ACTOR_LENGTH_MAX} characters`,
  note_invalid: 'a note has 1 to 512 characters',
  card_number_refused: 'a card number is in it',
  review_events_full: 'there are a thousand entries about it already',
} as const
export type WorkRefusal = keyof typeof WORK_REFUSALS

/** As much as the audit log keeps of a text. */
export const NOTE_LENGTH_MAX = 512
/** Entries about one held transaction. */
export const EVENTS_MAX = 1_000

/** How the work stands. */
export interface WorkState {
  readonly isHeld: boolean
  /** null: nobody. */
  readonly owner: string | null
  readonly events: number
}

/** What becomes of a command: the event, or why there is none. */
export const workOn = (
  state: WorkState,
  command: WorkCommand,
  actor: string,
): { readonly event: WorkEvent } | { readonly refusal: WorkRefusal } => {
  if (!state.isHeld) return { refusal: 'not_held' }
  if (state.events >= EVENTS_MAX) return { refusal: 'review_events_full' }
  switch (command.type) {
    case 'take':
      if (state.owner !== null && state.owner !== actor) return { refusal: 'taken_by_other' }
      return { event: { kind: 'assigned', owner: actor, note: null } }
    case 'assign': {
      const { owner } = command
      if (owner.trim() === '' || owner.length > ACTOR_LENGTH_MAX) return { refusal: 'owner_invalid' }
      if (containsCardNumber(owner)) return { refusal: 'card_number_refused' }
      return { event: { kind: 'assigned', owner, note: null } }
    }
    case 'give_back':
      if (state.owner === null) return { refusal: 'not_assigned' }
      return { event: { kind: 'given_back', owner: null, note: null } }
    case 'note': {
      const { note } = command
      if (note.trim() === '' || note.length > NOTE_LENGTH_MAX) return { refusal: 'note_invalid' }
      if (containsCardNumber(note)) return { refusal: 'card_number_refused' }
      return { event: { kind: 'noted', owner: null, note } }
    }
  }
}
