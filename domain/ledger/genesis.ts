/** Where a ledger's chain of hashes begins: with what was given when it was made. */
import { createHash } from 'node:crypto'

export interface Genesis {
  readonly ledger: string
  /** Decision time until the first tick, ms since 1970. */
  readonly tickMs: number
  readonly logicVersion: number
}

/** The hash of the head before the first batch: SHA-256 over {"genesis": ledger, "tick": ms, "logic": version} as JSON. */
export const genesisHash = ({ ledger, tickMs, logicVersion }: Genesis): Buffer =>
  createHash('sha256')
    .update(JSON.stringify({ genesis: ledger, tick: tickMs, logic: logicVersion }))
    .digest()
