/**
 * Names and small records of the balance cache. All keys of a ledger carry the hash tag `{ledger}`, so that on a Redis cluster
 * they share a slot and one script may use several.
 *
 * - `state`: which generation is valid and how far it was applied: `generation|sequence|recordedAt`. Lost with a flush.
 * - `fresh`: the valid generation, with a short life: the publisher is alive and reaches this Redis.
 * - `b:generation:account`: a balance. `l:generation:account`: a lease of somebody who is filling it: `token|timeline|sequence`,
 *   where the last two are the oldest version that may still be planted.
 */
import { randomBytes } from 'node:crypto'

export interface CacheState {
  /** `timeline-random`: never used twice, not even after a flush. */
  readonly generation: string
  /** Everything up to this batch is reflected in whatever the generation holds. */
  readonly sequence: bigint
  /** Decision time of that batch, ms since 1970 UTC. */
  readonly recordedAtMs: number
}

/** Makes the keys of one ledger. */
export class CacheKeys {
  readonly state: string
  readonly fresh: string
  readonly #base: string

  /** @param prefix Put before every key, `<ledger>:`. */
  constructor(prefix: string) {
    const ledger = prefix.replace(/:$/, '')
    this.#base = `${prefix}{${ledger}}:`
    this.state = `${this.#base}state`
    this.fresh = `${this.#base}fresh`
  }

  balance(generation: string, accountId: string): string {
    return `${this.#base}b:${generation}:${accountId}`
  }

  lease(generation: string, accountId: string): string {
    return `${this.#base}l:${generation}:${accountId}`
  }

  /** Balance and lease keys in turn, as the scripts take them. */
  pairs(generation: string, accountIds: readonly string[]): string[] {
    return accountIds.flatMap((id) => [this.balance(generation, id), this.lease(generation, id)])
  }
}

/** A generation that was never there before. Random rather than counted: a counter starts again after a flush. */
export const newGeneration = (timeline: bigint): string =>
  `${timeline}-${randomBytes(9).toString('base64url')}`

/** The timeline that a generation belongs to. */
export const timelineOf = (generation: string): bigint => BigInt(generation.slice(0, generation.indexOf('-')))

export const encodeState = (state: CacheState): string =>
  `${state.generation}|${state.sequence}|${state.recordedAtMs}`

/** Reads the `state` record; undefined where there is none or it isn't ours. */
export function decodeState(text: string | null | undefined): CacheState | undefined {
  const fields = /^(\d+-[\w-]+)\|(\d+)\|(\d+)$/.exec(text ?? '')
  if (fields === null) return undefined
  return { generation: fields[1] ?? '', sequence: BigInt(fields[2] ?? ''), recordedAtMs: Number(fields[3]) }
}
