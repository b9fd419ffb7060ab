/**
 * What is kept of an account for fraud rules, as it lies beside its balance: bytes at rest, a payer's state (features/payer.ts) while
 * a batch looks at it. As objects, the profiles of all accounts that a processor keeps would be ten times as large.
 */
import { decodePayer, encodePayer, newPayer, PAYER_VERSION, type PayerState } from './features/payer.ts'

export interface AccountProfile {
  /** encodePayer; null while `state` is what counts. */
  bytes: Buffer | null
  state: PayerState | null
}

const EMPTY = encodePayer(newPayer())

/** The profile of an account without activity. */
export const newProfile = (): AccountProfile => ({ bytes: EMPTY, state: null })

/** The state of a profile, to be looked at and changed in place. @throws Error where its bytes are damaged */
export const payerOf = (profile: AccountProfile): PayerState => {
  if (profile.state === null) {
    profile.state = decodePayer(profile.bytes!)
    profile.bytes = null
  }
  return profile.state
}

/** Bytes of a profile; it is at rest after that. */
export const encodeProfile = (profile: AccountProfile): Buffer => {
  if (profile.state !== null) {
    profile.bytes = encodePayer(profile.state)
    profile.state = null
  }
  return profile.bytes!
}

/** The profile of bytes that encodeProfile made. @throws Error where they are of another version; damaged ones throw when they are looked at */
export const decodeProfile = (bytes: Buffer): AccountProfile => {
  if (bytes[0] !== PAYER_VERSION) throw new Error(`account profile: unknown version ${bytes[0]}`)
  return { bytes, state: null }
}
