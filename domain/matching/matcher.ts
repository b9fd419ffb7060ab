/**
 * The incremental matcher: items of both sides come in any order and any portions, matches come out.
 *
 * Each pass has its groups (agreement.ts: keyOf); an item stands in the groups of all passes up to the one that matched it, or of all
 * passes while it is open. What changed is evaluated again, pass by pass: a match that no longer follows from its group is taken
 * back, its items go on to the next pass, and items taken by an earlier pass leave the later ones. So after `settle` the matches are
 * exactly those of the same items put in at once (matcher.test.ts proves it by permutation), and what was taken back is told.
 *
 * Memory: an item, and its place in at most one group a pass. Candidates are never stored. docs/decisions/0010-matching.md.
 */
import { keyOf } from './agreement.ts'
import type { Finding, IsBlocked } from './finding.ts'
import { isSameItem, type MatchItem } from './item.ts'
import { Members } from './members.ts'
import type { Pass } from './passes.ts'
import { findIn } from './rules.ts'

/** Items of both sides that are the same money, and why. */
export interface Match {
  readonly pass: string
  /** Confidence in thousandths. */
  readonly score: number
  /** Sorted by date and id. */
  readonly ledger: readonly MatchItem[]
  readonly bank: readonly MatchItem[]
  /** Ledger less bank in the bank's minor units. */
  readonly differenceMinor: bigint
  readonly because: 'none' | 'fee' | 'tolerance'
}

/** What a settling changed. A match that was taken back stays part of the history; whoever keeps it writes both down. */
export interface Changes {
  readonly matched: readonly Match[]
  readonly unmatched: readonly Match[]
}

export type Added = 'new' | 'known' | 'conflict'

interface HeldMatch extends Match {
  readonly held: readonly Held[]
}

interface Held {
  readonly item: MatchItem
  /** The last pass whose group it stands in; the number of passes = open; TAKEN = taken out of matching. */
  level: number
  /** Its group in each pass up to the level; null where it has none. Kept, so that no key is made twice. */
  readonly groups: (Group | null)[]
  match: HeldMatch | null
}

interface Group {
  readonly key: string
  readonly members: Members<Held>
  isDirty: boolean
}

const TAKEN = -1

export class Matcher {
  readonly #passes: readonly Pass[]
  readonly #items = new Map<string, Held>()
  readonly #groups: Map<string, Group>[]
  #dirty: Group[][]
  readonly #open = new Set<Held>()
  /** By ledger item: the bank items that people parted it from, and how many times. */
  readonly #blocked = new Map<string, Map<string, number>>()
  #matched: HeldMatch[] = []
  #unmatched: HeldMatch[] = []

  constructor(passes: readonly Pass[]) {
    this.#passes = passes
    this.#groups = passes.map(() => new Map())
    this.#dirty = passes.map(() => [])
  }

  get size(): number {
    return this.#items.size
  }

  get openCount(): number {
    return this.#open.size
  }

  /** Puts an item in. `known`: it was there already. `conflict`: its id says something else; the first one stays. */
  add(item: MatchItem): Added {
    const known = this.#items.get(item.id)
    if (known !== undefined) return isSameItem(known.item, item) ? 'known' : 'conflict'
    const held: Held = { item, level: TAKEN, groups: [], match: null }
    this.#items.set(item.id, held)
    this.#enter(held, 0)
    return 'new'
  }

  /** The item of an id, and the match it is part of. */
  find(
    id: string,
  ): { readonly item: MatchItem; readonly match: Match | null; readonly isTaken: boolean } | null {
    const held = this.#items.get(id)
    return held === undefined ? null : { item: held.item, match: held.match, isTaken: held.level === TAKEN }
  }

  /**
   * Takes items out of automatic matching: matched by a person, written off, or to be ignored.
   * @returns Whether all were there and free to take (known and not taken before); otherwise nothing is done.
   */
  take(ids: readonly string[]): boolean {
    const held = this.#all(ids)
    if (held === null || held.some(({ level }) => level === TAKEN)) return false
    for (const one of held) this.#retract(one, TAKEN)
    return true
  }

  /** Gives items back to automatic matching. @returns Whether all had been taken; otherwise nothing is done. */
  giveBack(ids: readonly string[]): boolean {
    const held = this.#all(ids)
    if (held === null || held.some(({ level }) => level !== TAKEN)) return false
    for (const one of held) this.#enter(one, 0)
    return true
  }

  /** A person says that these are not the same money: no pass pairs them again. */
  block(ledgerIds: readonly string[], bankIds: readonly string[]): void {
    this.#part(ledgerIds, bankIds, 1)
  }

  /** Takes one blocking back; others of the same items stay. */
  unblock(ledgerIds: readonly string[], bankIds: readonly string[]): void {
    this.#part(ledgerIds, bankIds, -1)
  }

  #part(ledgerIds: readonly string[], bankIds: readonly string[], by: 1 | -1): void {
    for (const ledgerId of ledgerIds) {
      const parted = this.#blocked.get(ledgerId) ?? new Map<string, number>()
      this.#blocked.set(ledgerId, parted)
      for (const bankId of bankIds) parted.set(bankId, (parted.get(bankId) ?? 0) + by)
    }
    for (const id of [...ledgerIds, ...bankIds]) {
      const held = this.#items.get(id)
      if (held !== undefined) this.#touch(held)
    }
  }

  /** Works out what follows from all that changed since the last time. */
  settle(): Changes {
    for (let pass = 0; pass < this.#passes.length; pass += 1) {
      const groups = this.#dirty[pass]!
      this.#dirty[pass] = []
      for (const group of groups) {
        group.isDirty = false
        if (group.members.size === 0) this.#groups[pass]!.delete(group.key)
        else this.#evaluate(pass, group)
      }
    }
    const changes = { matched: this.#matched, unmatched: this.#unmatched }
    this.#matched = []
    this.#unmatched = []
    return changes
  }

  /** All matches as of the last settling, each once; in no order that means anything. */
  *matches(): Generator<Match> {
    for (const held of this.#items.values()) if (held.match?.held[0] === held) yield held.match
  }

  /** What is open as of the last settling. */
  *open(): Generator<MatchItem> {
    for (const { item } of this.#open) yield item
  }

  /** What shares an item's group in a pass and isn't matched before it: whom it may be mistaken for. Empty where it has no such group. */
  groupOf(id: string, pass: number): readonly { readonly item: MatchItem; readonly isOpen: boolean }[] {
    const held = this.#items.get(id)
    if (held === undefined || held.level < pass) return []
    return (held.groups[pass]?.members.all() ?? []).map(({ item, match }) => ({
      item,
      isOpen: match === null,
    }))
  }

  /** How many share an item's group in a pass; 0 without one. */
  groupSize(item: MatchItem, pass: number): number {
    const key = keyOf(this.#passes[pass]!, item)
    return key === null ? 0 : (this.#groups[pass]!.get(key)?.members.size ?? 0)
  }

  readonly isBlocked: IsBlocked = (ledger, bank) => (this.#blocked.get(ledger.id)?.get(bank.id) ?? 0) > 0

  #all(ids: readonly string[]): Held[] | null {
    const held = ids.flatMap((id) => this.#items.get(id) ?? [])
    return held.length === ids.length ? held : null
  }

  /** Puts an unmatched item into the first pass from `from` on that has a group for it; behind the last one it is open. */
  #enter(held: Held, from: number): void {
    for (let pass = from; pass < this.#passes.length; pass += 1) {
      const key = keyOf(this.#passes[pass]!, held.item)
      if (key === null) {
        held.groups.push(null)
        continue
      }
      held.level = pass
      const groups = this.#groups[pass]!
      let group = groups.get(key)
      if (group === undefined) {
        group = { key, members: new Members(), isDirty: false }
        groups.set(key, group)
      }
      group.members.add(held)
      held.groups.push(group)
      this.#mark(pass, group)
      return
    }
    held.level = this.#passes.length
    this.#open.add(held)
  }

  /** Takes an item out of all passes behind `to`, and back the match that one of them made. */
  #retract(held: Held, to: number): void {
    for (let pass = held.groups.length - 1; pass > to; pass -= 1) {
      const group = held.groups.pop()!
      if (group === null) continue
      group.members.delete(held)
      this.#mark(pass, group)
    }
    this.#open.delete(held)
    held.level = to
    if (held.match !== null) this.#dissolve(held.match)
  }

  /** Has all groups of an item looked at again. */
  #touch(held: Held): void {
    held.groups.forEach((group, pass) => {
      if (group !== null) this.#mark(pass, group)
    })
  }

  #mark(pass: number, group: Group): void {
    if (group.isDirty) return
    group.isDirty = true
    this.#dirty[pass]!.push(group)
  }

  #dissolve(match: HeldMatch): void {
    for (const held of match.held) held.match = null
    this.#unmatched.push(match)
  }

  #evaluate(pass: number, group: Group): void {
    const members = group.members.all()
    if (members.length === 1) {
      // Most groups, most of the time: somebody waits for the other side.
      const [only] = members as [Held]
      if (only.level !== pass) return
      if (only.match !== null) this.#dissolve(only.match)
      this.#enter(only, pass + 1)
      return
    }
    const findings = findIn(this.#passes[pass]!, members, this.isBlocked)
    const kept = new Set<HeldMatch>()
    const fresh = findings.filter((finding) => {
      const known = this.#known(pass, finding)
      if (known !== null) kept.add(known)
      return known === null
    })
    for (const held of members) {
      if (held.match !== null && held.level === pass && !kept.has(held.match)) this.#dissolve(held.match)
    }
    for (const finding of fresh) this.#match(pass, finding)
    for (const held of [...members])
      if (held.match === null && held.level === pass) this.#enter(held, pass + 1)
  }

  /** The match that stands already where a finding says nothing new. */
  #known(pass: number, { ledger, bank, differenceMinor }: Finding<Held>): HeldMatch | null {
    const match = ledger[0]!.match
    if (match === null || ledger[0]!.level !== pass || match.differenceMinor !== differenceMinor) return null
    if (match.held.length !== ledger.length + bank.length) return null
    const isSame = (held: Held) => held.match === match && held.level === pass
    return ledger.every(isSame) && bank.every(isSame) ? match : null
  }

  #match(pass: number, { ledger, bank, differenceMinor, because }: Finding<Held>): void {
    const held = [...ledger, ...bank]
    for (const one of held) if (one.level > pass) this.#retract(one, pass)
    const { name, score } = this.#passes[pass]!
    const match: HeldMatch = {
      pass: name,
      score,
      ledger: ledger.map(({ item }) => item),
      bank: bank.map(({ item }) => item),
      differenceMinor,
      because,
      held,
    }
    for (const one of held) one.match = match
    this.#matched.push(match)
  }
}
