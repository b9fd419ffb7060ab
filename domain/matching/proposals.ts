/**
 * Proposals for a person: open items of both sides whose texts share words that few others use (invoice and customer numbers,
 * names), with a confidence. They take nothing out of matching: until somebody confirms one, both items stay open.
 */
import { contradict, daysBetween } from './agreement.ts'
import type { MatchItem } from './item.ts'

export interface MatchProposal {
  readonly ledger: string
  readonly bank: string
  /** In thousandths. */
  readonly confidence: number
  /** The words both share, rarest first. */
  readonly words: readonly string[]
}

export interface ProposalOptions {
  readonly windowDays: number
  /** Below it nothing is proposed; thousandths. */
  readonly confidenceMin: number
  /** Most proposals for one bank item. */
  readonly perItemMax: number
}

export const PROPOSAL_DEFAULTS: ProposalOptions = { windowDays: 30, confidenceMin: 400, perItemMax: 3 }

const WORD_LENGTH_MIN = 4
/** A word that more items of the ledger carry says nothing, and would make work grow with the square of the open items. */
const WORD_USES_MAX = 20
const WORDS_PER_ITEM_MAX = 40
/** Parts of the confidence, thousandths: what both texts share, then what else agrees. */
const POINTS = { numberWord: 300, otherWord: 120, words: 450, amount: 350, near: 150, date: 100, party: 100 }
const CONFIDENCE_MAX = 990

/** For open items. Work grows with their number, not with pairs of them. Sorted by bank item, then confidence. */
export function proposals(
  open: Iterable<MatchItem>,
  options: ProposalOptions = PROPOSAL_DEFAULTS,
): MatchProposal[] {
  const byWord = new Map<string, MatchItem[]>()
  const bank: MatchItem[] = []
  for (const item of open) {
    if (item.side === 'bank') bank.push(item)
    else {
      for (const word of wordsOf(item)) {
        const users = byWord.get(word)
        if (users === undefined) byWord.set(word, [item])
        else if (users.length <= WORD_USES_MAX) users.push(item)
      }
    }
  }
  bank.sort((left, right) => (left.id < right.id ? -1 : 1))
  return bank.flatMap((item) => proposalsFor(item, byWord, options))
}

function proposalsFor(
  bank: MatchItem,
  byWord: ReadonlyMap<string, readonly MatchItem[]>,
  options: ProposalOptions,
): MatchProposal[] {
  const shared = new Map<MatchItem, string[]>()
  for (const word of wordsOf(bank)) {
    const users = byWord.get(word) ?? []
    if (users.length > WORD_USES_MAX) continue
    for (const ledger of users) shared.set(ledger, [...(shared.get(ledger) ?? []), word])
  }
  return [...shared]
    .filter(([ledger]) => isPossible(ledger, bank, options))
    .map(([ledger, words]) => ({
      ledger: ledger.id,
      bank: bank.id,
      confidence: confidenceOf(ledger, bank, words, options),
      words: words.sort(
        (left, right) =>
          byWord.get(left)!.length - byWord.get(right)!.length || (left < right ? -1 : left > right ? 1 : 0),
      ),
    }))
    .filter(({ confidence }) => confidence >= options.confidenceMin)
    .sort((left, right) => right.confidence - left.confidence || (left.ledger < right.ledger ? -1 : 1))
    .slice(0, options.perItemMax)
}

const isPossible = (ledger: MatchItem, bank: MatchItem, { windowDays }: ProposalOptions): boolean =>
  ledger.account === bank.account &&
  ledger.currency === bank.currency &&
  ledger.amountMinor < 0n === bank.amountMinor < 0n &&
  daysBetween(ledger, bank) <= windowDays &&
  !contradict(ledger, bank)

function confidenceOf(
  ledger: MatchItem,
  bank: MatchItem,
  words: readonly string[],
  { windowDays }: ProposalOptions,
): number {
  const ofWords = words.reduce(
    (sum, word) => sum + (/\d/.test(word) ? POINTS.numberWord : POINTS.otherWord),
    0,
  )
  const difference = ledger.amountMinor - bank.amountMinor
  const isNear = (difference < 0n ? -difference : difference) * 20n <= absolute(ledger.amountMinor)
  const ofAmount = difference === 0n ? POINTS.amount : isNear ? POINTS.near : 0
  const ofDate = Math.floor(
    (POINTS.date * (windowDays - daysBetween(ledger, bank))) / Math.max(1, windowDays),
  )
  const isSameParty =
    ledger.counterpartyAccount !== null && ledger.counterpartyAccount === bank.counterpartyAccount
  const total = Math.min(POINTS.words, ofWords) + ofAmount + ofDate + (isSameParty ? POINTS.party : 0)
  return Math.min(CONFIDENCE_MAX, total)
}

const absolute = (value: bigint): bigint => (value < 0n ? -value : value)

/** Words of text and references in capitals, each once. */
function wordsOf({ remittance, references }: MatchItem): Set<string> {
  const text = [remittance, references.endToEndId, references.transactionId, references.creditorReference]
    .filter((part) => part !== null)
    .join(' ')
  const words = text
    .toUpperCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word.length >= WORD_LENGTH_MIN)
  return new Set(words.slice(0, WORDS_PER_ITEM_MAX))
}
