/** Time passing: authorizations and held transactions whose time is over give their money back. */
import { decided } from './decisions.ts'
import type { InputPosition } from './inputs.ts'
import { endHold } from './parents.ts'
import type { BatchEffects, HoldState, LedgerState } from './state.ts'

const byExpiry = (a: HoldState, b: HoldState): number =>
  a.expiresAt - b.expiresAt || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)

/**
 * Expires what is due at the decision time, oldest first, up to the bound.
 * @returns whether all of it was done; otherwise the batch ends here and the next one goes on before anything else.
 */
export const expireDue = (state: LedgerState, effects: BatchEffects, position: InputPosition): boolean => {
  // Told by what is due now and not by how much was loaded: a replay may load less than the processor that saw later ticks.
  const isCut = state.nextDueAt !== null && state.nextDueAt <= state.time.nowMs
  const last = state.dueHolds.at(-1)
  const candidates = new Set<HoldState>(state.dueHolds)
  for (const hold of effects.holds) candidates.add(hold)
  let due = [...candidates].filter((h) => h.status === 'active' && h.expiresAt <= state.time.nowMs)
  if (due.length === 0 && !isCut) return true
  due.sort(byExpiry)
  // Beyond the last one loaded there may be others that come first.
  if (isCut && last !== undefined) due = due.filter((h) => byExpiry(h, last) <= 0)
  const now = due.slice(0, state.bounds.expiriesMax)
  for (const hold of now) expire(state, effects, hold, position)
  return now.length === due.length && !isCut
}

const expire = (
  state: LedgerState,
  effects: BatchEffects,
  hold: HoldState,
  position: InputPosition,
): void => {
  const reserved = endHold(state, effects, hold, 'expired')
  decided(
    state,
    effects,
    {
      position,
      key: hold.key,
      content: '',
      command: hold.command,
      cause: 'tick',
      actor: 'time',
      cardNo: hold.command.card === null ? null : (state.cards.get(hold.command.card)?.no ?? null),
      parentKey: null,
    },
    { status: 'expired', reserved },
  )
}
