/** Dead letters as the serial history knows them: by their position, open until a command says what became of them. */
import type { DeadLetterInput, InputPosition } from './inputs.ts'
import type { BatchEffects, DeadLetterStatus, LedgerState } from './state.ts'

/** How commands call a dead letter: `topic:partition:offset`, the topic without the ledger's prefix. */
export const deadLetterName = ({ topic, partition, offset }: InputPosition): string =>
  `${topic}:${partition}:${offset}`

const NAME = /^([a-zA-Z0-9._-]{1,200}):(0|[1-9]\d{0,8}):(0|[1-9]\d{0,17})$/

/** The position that a name means; null where it is none. */
export const deadLetterPosition = (name: string): InputPosition | null => {
  const found = NAME.exec(name)
  if (found === null) return null
  return { topic: found[1]!, partition: Number(found[2]), offset: BigInt(found[3]!) }
}

/** Adds a dead letter to the effects; later commands of the same batch may be about it. */
export const addDeadLetter = (
  state: LedgerState,
  effects: BatchEffects,
  letter: { readonly index: number; readonly letter: DeadLetterInput; readonly position: InputPosition },
): void => {
  effects.deadLetters.push({ ...letter, recordedAt: state.time.nowMs })
  state.deadLetters.set(deadLetterName(letter.position), 'open')
}

/** What may become of a letter: one that was discarded is done with, but that bytes were published again is a fact. */
export const mayDiscard = (status: DeadLetterStatus): boolean => status === 'open'
