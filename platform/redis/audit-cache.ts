/** Compares what the balance cache holds with balances of Postgres. Reads only; keys that aren't there are no difference: it is a cache. */
import { type AccountBalance, decodeBalance } from './balance-value.ts'
import { CacheKeys, decodeState } from './cache-keys.ts'
import type { RedisClient } from './client.ts'

export interface CacheDifference {
  readonly account: string
  /** `newer`: of a batch that Postgres doesn't have; `older`: of one before its newest that was published; `different`: of the same, with another content. */
  readonly kind: 'newer' | 'older' | 'different' | 'unreadable'
  readonly cached: string
}

/** What an account's key holds; undefined where there is none. */
export type CachedText = string | undefined

/** Reads the cached texts of accounts, in their order; null where the cache has no valid generation. @throws what ioredis throws */
export const readCachedTexts = async (
  client: RedisClient,
  keyPrefix: string,
  accountIds: readonly string[],
): Promise<{ readonly appliedSequence: bigint; readonly texts: readonly CachedText[] } | null> => {
  const keys = new CacheKeys(keyPrefix)
  const state = decodeState(await client.get(keys.state))
  if (state === undefined) return null
  if (accountIds.length === 0) return { appliedSequence: state.sequence, texts: [] }
  const texts = await client.mget(accountIds.map((id) => keys.balance(state.generation, id)))
  return { appliedSequence: state.sequence, texts: texts.map((text) => text ?? undefined) }
}

/**
 * Whether a cached balance is Postgres'. While the publisher is behind, an older one is right.
 * @param appliedSequence how far the cache says it was written
 * @returns null where it is as it should be
 */
export const cacheDifference = (
  stored: AccountBalance,
  text: CachedText,
  appliedSequence: bigint,
): CacheDifference | null => {
  if (text === undefined) return null
  const cached = decodeBalance(stored.accountId, text)
  const found = (kind: CacheDifference['kind']): CacheDifference => ({
    account: stored.accountId,
    kind,
    cached: text,
  })
  if (cached === undefined) return found('unreadable')
  const { version } = stored
  if (cached.version.timeline !== version.timeline) {
    return found(cached.version.timeline > version.timeline ? 'newer' : 'older')
  }
  if (cached.version.sequence > version.sequence) return found('newer')
  if (cached.version.sequence < version.sequence) {
    return version.sequence <= appliedSequence ? found('older') : null
  }
  const isSame =
    cached.posted === stored.posted &&
    cached.reserved === stored.reserved &&
    cached.currency === stored.currency &&
    cached.normalSide === stored.normalSide &&
    cached.limited === stored.limited &&
    (!stored.limited || cached.overdraftLimit === stored.overdraftLimit)
  return isSame ? null : found('different')
}
