/**
 * Administrative commands: one record of the topic `commands` is applied or rejected in the serial history, once for its id.
 *
 * The closed list of kinds belongs to the logic version, since a kind that a version doesn't know is rejected by it. To add one:
 * its name in COMMAND_KINDS, its decider in DECIDERS, and what it must have loaded in `needsOfCommand`.
 */
import { hash } from 'node:crypto'
import { maskCardNumbers } from '../transactions/card-numbers.ts'
import type { AdministrativeCommand } from '../transactions/command.ts'
import {
  ACTOR_LENGTH_MAX,
  COMMAND_KIND_LENGTH_MAX,
  COMMAND_SUBJECT_LENGTH_MAX,
  ID_LENGTH_MAX,
} from '../transactions/limits.ts'
import type { Refusal } from '../transactions/outcomes.ts'
import { validateCommand } from '../transactions/validate.ts'
import { addDeadLetter, deadLetterPosition, mayDiscard } from './dead-letters.ts'
import type { CommandInput, InputPosition } from './inputs.ts'
import type { BatchEffects, CommandOutcome, LedgerState, PositionMove } from './state.ts'

/** `dead_letter.*`: subject topic:partition:offset. `partition.*`: subject topic:partition. */
export const COMMAND_KINDS = [
  'dead_letter.discard',
  'dead_letter.retried',
  'partition.skip',
  'partition.move',
] as const
export type CommandKind = (typeof COMMAND_KINDS)[number]

/** Changes state and effects; a reason instead where it may not. */
type Decider = (
  state: LedgerState,
  effects: BatchEffects,
  command: AdministrativeCommand,
  position: InputPosition,
) => Refusal | null

const HASH_DIGITS = 32

/**
 * What a command says, whoever says it and when: the first 16 bytes, in hex, of SHA-256 over the JSON text
 * [1, kind, subject, [[name, value], …] by name in UTF-16 code unit order, reason].
 */
export const commandContent = (command: AdministrativeCommand): string => {
  const parameters = Object.keys(command.parameters)
    .sort()
    .map((name) => [name, command.parameters[name]])
  const text = JSON.stringify([1, command.kind, command.subject, parameters, command.reason])
  return hash('sha256', text, 'hex').slice(0, HASH_DIGITS)
}

/** What deciding a command must find loaded: the dead letter that it is about. */
export const needsOfCommand = (
  command: AdministrativeCommand,
): { readonly deadLetter: InputPosition | null } => ({
  deadLetter: command.kind.startsWith('dead_letter.') ? deadLetterPosition(command.subject) : null,
})

/** Decides one record of the `commands` topic. */
export const decideCommand = (state: LedgerState, effects: BatchEffects, input: CommandInput): void => {
  const { command } = input
  const content = commandContent(command)
  const invalid = validateCommand(command)
  const claimed = invalid === null ? state.commands.get(command.id) : undefined
  if (invalid !== null) {
    decided(state, effects, input, { content, outcome: 'rejected', refusal: invalid, claims: false })
  } else if (claimed?.content === content) {
    decided(state, effects, input, { content, outcome: 'duplicate', refusal: null, claims: false })
  } else if (claimed !== undefined) {
    decided(state, effects, input, { content, outcome: 'rejected', refusal: 'id_conflict', claims: false })
  } else {
    const refusal = apply(state, effects, command, input)
    const outcome = refusal === null ? 'applied' : 'rejected'
    decided(state, effects, input, { content, outcome, refusal, claims: true })
    state.commands.set(command.id, { content })
  }
}

const apply: Decider = (state, effects, command, position) => {
  if (!Object.hasOwn(DECIDERS, command.kind)) return 'unknown_command'
  return DECIDERS[command.kind as CommandKind](state, effects, command, position)
}

const discard: Decider = (state, _effects, command) => {
  const status = state.deadLetters.get(command.subject)
  if (status === undefined) return 'dead_letter_unknown'
  if (!mayDiscard(status)) return 'dead_letter_closed'
  state.deadLetters.set(command.subject, 'discarded')
  return null
}

/** Parameters topic, partition, offset: where its bytes were published again. A fact, so it holds whatever was decided before. */
const retried: Decider = (state, _effects, command) => {
  if (!state.deadLetters.has(command.subject)) return 'dead_letter_unknown'
  const { topic, partition, offset } = command.parameters
  if (deadLetterPosition(`${topic}:${partition}:${offset}`) === null) return 'parameters_invalid'
  state.deadLetters.set(command.subject, 'retried')
  return null
}

const PARTITION = /^([a-zA-Z0-9._-]{1,200}):(0|[1-9]\d{0,8})$/
const OFFSET = /^(0|[1-9]\d{0,17})$/

/**
 * Parameters from, to: reading goes on at `to` instead of `from`, which must be where the partition stands. Both may be the same, for
 * a topic that was made anew: whichever stands there now is the one to be read. Never the partition that
 * the command itself came by: where it stands changes with the command.
 */
const moveOf = (
  state: LedgerState,
  { subject, parameters }: AdministrativeCommand,
  own: InputPosition,
): PositionMove | Refusal => {
  const [, topic, partition] = PARTITION.exec(subject) ?? []
  if (topic === undefined || subject === `${own.topic}:${own.partition}`) return 'subject_invalid'
  const { from, to } = parameters
  if (from === undefined || to === undefined || !OFFSET.test(from) || !OFFSET.test(to)) {
    return 'parameters_invalid'
  }
  if (state.positions.get(subject) !== BigInt(from)) return 'position_changed'
  return { topic, partition: Number(partition), from: BigInt(from), to: BigInt(to) }
}

const move: Decider = (state, effects, command, own) => {
  const moved = moveOf(state, command, own)
  if (typeof moved === 'string') return moved
  effects.moves.push(moved)
  state.positions.set(command.subject, moved.to)
  return null
}

const NO_BYTES = Buffer.alloc(0)

/** Forward only. The offsets [from, to) are a dead letter without bytes, so that no record is unaccounted for. */
const skip: Decider = (state, effects, command, own) => {
  const moved = moveOf(state, command, own)
  if (typeof moved === 'string') return moved
  const { topic, partition, from, to } = moved
  if (from >= to) return 'parameters_invalid'
  addDeadLetter(state, effects, {
    index: effects.nextIndex++,
    letter: {
      reason: 'skipped',
      detail: `offsets ${from} to ${to - 1n}, passed by the command ${command.id}`,
      key: null,
      value: null,
      valueBytes: 0,
      valueSha256: hash('sha256', NO_BYTES, 'buffer'),
      contentType: null,
      firstOffset: from,
    },
    position: { topic, partition, offset: to - 1n },
  })
  return move(state, effects, command, own)
}

const DECIDERS: Readonly<Record<CommandKind, Decider>> = {
  'dead_letter.discard': discard,
  'dead_letter.retried': retried,
  'partition.skip': skip,
  'partition.move': move,
}

const decided = (
  state: LedgerState,
  effects: BatchEffects,
  input: CommandInput,
  decision: {
    readonly content: string
    readonly outcome: CommandOutcome
    readonly refusal: Refusal | null
    readonly claims: boolean
  },
): void => {
  const index = effects.nextIndex++
  // Only what validation has let through is known to be short and without card numbers.
  const command = decision.claims || decision.outcome === 'duplicate' ? input.command : bounded(input.command)
  effects.commands.push({ index, command, ...decision, position: input, recordedAt: state.time.nowMs })
}

/** What may be kept of a command that was refused for what it holds: no card number, nothing long. */
const bounded = (command: AdministrativeCommand): AdministrativeCommand => ({
  id: maskCardNumbers(command.id).slice(0, ID_LENGTH_MAX),
  kind: maskCardNumbers(command.kind).slice(0, COMMAND_KIND_LENGTH_MAX),
  subject: maskCardNumbers(command.subject).slice(0, COMMAND_SUBJECT_LENGTH_MAX),
  parameters: {},
  actor: maskCardNumbers(command.actor).slice(0, ACTOR_LENGTH_MAX),
  reason: null,
  occurredAt: command.occurredAt,
})
