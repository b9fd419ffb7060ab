/** The state for a batch from memory alone, for deciding it while the batch before it is still being committed. */
import type { PartyState } from '#domain/fraud/parties.ts'
import { watchOf } from '#domain/fraud/rulebook/watch.ts'
import type { BatchNeeds } from '#domain/ledger/needs.ts'
import { type AccountState, DECISION_BOUNDS, type LedgerState } from '#domain/ledger/state.ts'
import { appliesBy } from '#domain/time/pending-ticks.ts'
import type { LedgerCache, LockedHead } from './store.ts'

/**
 * What `LedgerStore.load` would answer without looking ids up, or null where it would have to read anything.
 * @param head as it will be once the batch before is committed; the cache is as of it
 * @param reached 'topic:partition' → next offset, after the batch
 */
export const cachedState = (
  head: LockedHead,
  needs: BatchNeeds,
  cache: LedgerCache,
  reached: ReadonlyMap<string, bigint>,
): LedgerState | null => {
  if (cache.rules === null || cache.rulesVersion !== head.rulesVersion) return null
  const isPlain =
    needs.cards.size === 0 &&
    needs.parentKeys.size === 0 &&
    needs.labelKeys.size === 0 &&
    needs.commandIds.size === 0 &&
    needs.deadLetters.size === 0
  if (!isPlain) return null
  // Ticks expire holds, which would have to be read.
  if (needs.latestTick !== null || head.expiring || appliesBy(head.time, reached)) return null
  const accounts = new Map<string, AccountState>()
  for (const id of needs.accountIds) {
    const account = cache.accounts.get(id)
    if (account === undefined) return null
    accounts.set(id, account)
  }
  const parties = new Map<string, PartyState>()
  for (const key of needs.parties(watchOf(cache.rules)).keys()) {
    const party = cache.parties.get(key)
    if (party === undefined) return null
    parties.set(key, party)
  }
  return {
    sequence: head.sequence + 1n,
    accounts,
    cards: new Map(),
    parties,
    claimed: new Map(),
    labelTargets: new Map(),
    labelKeys: needs.labelKeys,
    holds: new Map(),
    parents: new Map(),
    parentsTakenAt: new Map(),
    commands: new Map(),
    deadLetters: new Map(),
    parentKeys: needs.parentKeys,
    dueHolds: [],
    nextDueAt: null,
    rules: cache.rules,
    horizons: cache.horizons,
    rulesVersion: head.rulesVersion,
    accountsCount: head.accountsCount,
    cardsCount: head.cardsCount,
    positions: new Map(head.positions),
    time: head.time,
    expiring: false,
    bounds: DECISION_BOUNDS,
  }
}
