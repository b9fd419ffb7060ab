/** Who may take, give back and note what; refusals by their codes. */
import { expect, test } from 'vitest'
import { EVENTS_MAX, type WorkCommand, type WorkState, workOn } from './review-work.ts'

const free: WorkState = { isHeld: true, owner: null, events: 0 }
const bens: WorkState = { ...free, owner: 'ben', events: 1 }

test.each<[WorkState, WorkCommand, object]>([
  [free, { type: 'take' }, { event: { kind: 'assigned', owner: 'ann', note: null } }],
  [bens, { type: 'take' }, { refusal: 'taken_by_other' }],
  [{ ...bens, owner: 'ann' }, { type: 'take' }, { event: { kind: 'assigned', owner: 'ann', note: null } }],
  [bens, { type: 'assign', owner: 'cat' }, { event: { kind: 'assigned', owner: 'cat', note: null } }],
  [free, { type: 'assign', owner: ' ' }, { refusal: 'owner_invalid' }],
  [free, { type: 'assign', owner: 'x'.repeat(129) }, { refusal: 'owner_invalid' }],
  [free, { type: 'assign', owner: '4111 1111 1111 1111' }, { refusal: 'card_number_refused' }],
  [bens, { type: 'give_back' }, { event: { kind: 'given_back', owner: null, note: null } }],
  [free, { type: 'give_back' }, { refusal: 'not_assigned' }],
  [free, { type: 'note', note: 'called' }, { event: { kind: 'noted', owner: null, note: 'called' } }],
  [free, { type: 'note', note: '' }, { refusal: 'note_invalid' }],
  [free, { type: 'note', note: 'x'.repeat(513) }, { refusal: 'note_invalid' }],
  [free, { type: 'note', note: 'card 4111111111111111' }, { refusal: 'card_number_refused' }],
  [{ ...free, isHeld: false }, { type: 'note', note: 'late' }, { refusal: 'not_held' }],
  [{ ...free, events: EVENTS_MAX }, { type: 'take' }, { refusal: 'review_events_full' }],
])('%j %j', (state, command, expected) => {
  expect(workOn(state, command, 'ann')).toEqual(expected)
})
