/**
 * What is kept of cards, terminals, merchants and devices for fraud rules, as it lies in its table: bytes at rest, a state of
 * features/ while a batch looks at it. A party that nobody used for KEEP_DAYS of the ledger's time counts as never seen, so that
 * its row may be deleted at any time after that without changing a decision.
 */
import { type AcceptorState, decodeAcceptor, encodeAcceptor, newAcceptor } from './features/acceptor.ts'
import { decodeDevice, type DeviceState, encodeDevice, newDevice } from './features/device.ts'
import { DAY_MS } from './features/feedback.ts'
import { decodePayer, encodePayer, newPayer, type PayerState } from './features/payer.ts'

/** Numbers in the table are places in this list: only ever add at its end. */
export const PARTY_KINDS = ['card', 'terminal', 'merchant', 'device'] as const
export type PartyKind = (typeof PARTY_KINDS)[number]

/** Longer than any window, label or acquaintance reaches back, days of the ledger's time. */
export const PARTY_KEEP_DAYS = 62

export interface PartyName {
  readonly kind: PartyKind
  readonly name: string
}

interface PartyBase extends PartyName {
  /** Day of the ledger's time (days since 1970) on which it was last used; -1 where it never was. */
  usedDay: number
  /** Sequence of the batch that last changed it. */
  version: bigint
  /** As encoded; null while the state is what counts. */
  bytes: Buffer | null
}

export interface PayingParty extends PartyBase {
  readonly kind: 'card'
  state: PayerState | null
}
export interface AcceptingParty extends PartyBase {
  readonly kind: 'terminal' | 'merchant'
  state: AcceptorState | null
}
export interface DeviceParty extends PartyBase {
  readonly kind: 'device'
  state: DeviceState | null
}
export type PartyState = PayingParty | AcceptingParty | DeviceParty

/** The key of a party in maps; kinds have no colon. */
export const partyKey = (kind: PartyKind, name: string): string => `${kind}:${name}`

/** The party of a key. @throws Error where it is none of partyKey */
export const partyNameOf = (key: string): PartyName => {
  const colon = key.indexOf(':')
  const kind = PARTY_KINDS.find((each) => each === key.slice(0, colon))
  if (kind === undefined) throw new Error(`party ${key} is of no known kind`)
  return { kind, name: key.slice(colon + 1) }
}

/** A party that was never seen. */
export const newParty = ({ kind, name }: PartyName): PartyState => {
  const base = { name, usedDay: -1, version: 0n, bytes: null }
  if (kind === 'card') return { ...base, kind, state: newPayer() }
  if (kind === 'device') return { ...base, kind, state: newDevice() }
  return { ...base, kind, state: newAcceptor() }
}

/** A party of its row. Damaged bytes throw when they are looked at. */
export const storedParty = (
  { kind, name }: PartyName,
  row: Pick<PartyBase, 'usedDay' | 'version'> & { readonly bytes: Buffer },
): PartyState => ({ kind, name, ...row, state: null }) as PartyState

/** Whether a party counts as never seen. @param nowMs the ledger's time */
export const isPartyForgotten = ({ usedDay }: Pick<PartyState, 'usedDay'>, nowMs: number): boolean =>
  usedDay < partiesFromDay(nowMs)

/** Parties last used before this day are forgotten. @param nowMs the ledger's time */
export const partiesFromDay = (nowMs: number): number => Math.floor(nowMs / DAY_MS) - PARTY_KEEP_DAYS

/** The state of a card, to be looked at and changed in place. @throws Error where its bytes are damaged */
export const payingStateOf = (party: PayingParty): PayerState => {
  party.state ??= decodePayer(party.bytes!)
  party.bytes = null
  return party.state
}

/** As payingStateOf, of a terminal or merchant. */
export const acceptingStateOf = (party: AcceptingParty): AcceptorState => {
  party.state ??= decodeAcceptor(party.bytes!)
  party.bytes = null
  return party.state
}

/** As payingStateOf, of a device. */
export const deviceStateOf = (party: DeviceParty): DeviceState => {
  party.state ??= decodeDevice(party.bytes!)
  party.bytes = null
  return party.state
}

/** Bytes of a party's state; it is at rest after that. */
export const encodeParty = (party: PartyState): Buffer => {
  if (party.state !== null) {
    party.bytes = encodedState(party)
    party.state = null
  }
  return party.bytes!
}

const encodedState = (party: PartyState): Buffer => {
  if (party.kind === 'card') return encodePayer(party.state!)
  return party.kind === 'device' ? encodeDevice(party.state!) : encodeAcceptor(party.state!)
}
