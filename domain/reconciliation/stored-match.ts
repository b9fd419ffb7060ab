/** A match as it is kept: by the ids of its items, under an id of its own. */
import { createHash } from 'node:crypto'
import type { Match } from '#domain/matching/matcher.ts'

export interface StoredMatch {
  /** 32 hexadecimal digits, made of the pass and the items. */
  readonly id: string
  readonly pass: string
  readonly score: number
  readonly ledger: readonly string[]
  readonly bank: readonly string[]
  readonly differenceMinor: bigint
  readonly because: string
  /** What its bank side says: the amount is a sum, minor units. */
  readonly account: string
  readonly currency: string
  readonly amountMinor: bigint
}

const idOf = (pass: string, ledger: readonly string[], bank: readonly string[]): string =>
  createHash('sha256')
    .update(JSON.stringify([pass, ledger, bank]))
    .digest('hex')
    .slice(0, 32)

/** Asked for several times a match; the id is a hash. */
const made = new WeakMap<Match, StoredMatch>()

/** The same object whenever it is asked for. */
export function storedMatch(match: Match): StoredMatch {
  const known = made.get(match)
  if (known !== undefined) return known
  const stored = store(match)
  made.set(match, stored)
  return stored
}

function store({ pass, score, ledger, bank, differenceMinor, because }: Match): StoredMatch {
  const ledgerIds = ledger.map(({ id }) => id)
  const bankIds = bank.map(({ id }) => id)
  const id = idOf(pass, ledgerIds, bankIds)
  const { account, currency } = bank[0]!
  const amountMinor = bank.reduce((sum, item) => sum + item.amountMinor, 0n)
  const ids = { ledger: ledgerIds, bank: bankIds }
  return { id, pass, score, ...ids, differenceMinor, because, account, currency, amountMinor }
}
