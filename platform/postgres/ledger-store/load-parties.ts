/** Reads what is kept of cards, terminals, merchants and devices for fraud rules. */
import {
  newParty,
  PARTY_KINDS,
  type PartyName,
  partyKey,
  type PartyState,
  storedParty,
} from '#domain/fraud/parties.ts'
import { int2Array, textArray } from '../binary-arrays.ts'
import type { LedgerCache, Statements } from './store.ts'

interface PartyRow {
  kind: number
  name: string
  used_day: number
  version: string
  state: Buffer
}

const READ_PARTIES = `select p.kind, p.name, p.used_day, p.version, p.state from fraud_parties p
  join unnest($1::int2[], $2::text[]) as u (k, n) on p.kind = u.k and p.name = u.n`

/** Parties by their keys, all that are asked for; what the cache holds isn't read again. */
export const readParties = async (
  session: Statements,
  names: ReadonlyMap<string, PartyName>,
  cache: Pick<LedgerCache, 'parties'>,
): Promise<Map<string, PartyState>> => {
  const found = new Map<string, PartyState>()
  const missing: PartyName[] = []
  for (const [key, name] of names) {
    const cached = cache.parties.get(key)
    if (cached === undefined) missing.push(name)
    else found.set(key, cached)
  }
  if (missing.length === 0) return found
  const { rows } = await session.query<PartyRow>('read-parties', READ_PARTIES, [
    int2Array(missing.map(({ kind }) => PARTY_KINDS.indexOf(kind))),
    textArray(missing.map(({ name }) => name)),
  ])
  for (const row of rows) {
    const kind = PARTY_KINDS[row.kind]
    if (kind === undefined) throw new Error(`party ${row.name} is of unknown kind ${row.kind}`)
    const { name } = row
    found.set(
      partyKey(kind, name),
      storedParty({ kind, name }, { usedDay: row.used_day, version: BigInt(row.version), bytes: row.state }),
    )
  }
  // That they aren't there is known now too.
  for (const name of missing) {
    const key = partyKey(name.kind, name.name)
    if (!found.has(key)) found.set(key, newParty(name))
  }
  return found
}
