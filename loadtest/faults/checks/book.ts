/**
 * A ledger of the checker's own: balances, reserved amounts and limits, moved record by record in the order that Postgres says. It
 * says what each record must become, and then follows what did become of it, so that one wrong decision is found once.
 */
import type { Input, InputPosting } from './input-log.ts'
import { ReferenceBook, type Suspicion } from './reference-book.ts'

export interface Verdict {
  readonly status: 'applied' | 'authorized' | 'held' | 'voided' | 'declined' | 'rejected'
  /** Of what is rejected; a code where there is one alone. */
  readonly why?:
    | 'unknown_account'
    | 'account_frozen'
    | 'fraud_rejected'
    | 'insufficient_funds'
    | 'about its parent'
  /** What is moved, where it is applied. */
  readonly moves: readonly InputPosting[]
  readonly suspicion: Suspicion | null
}

/** An earlier transaction, of which something is left. */
interface Parent {
  readonly state: 'authorized' | 'held' | 'posted'
  readonly input: Input
  /** Of each posting, minor units: what is reserved, or can be given back. */
  readonly left: bigint[]
}

const rejected = (why: NonNullable<Verdict['why']>, suspicion: Suspicion | null = null): Verdict => ({
  status: 'rejected',
  why,
  moves: [],
  suspicion,
})

export class Book extends ReferenceBook {
  /** Authorized and held ones, and those of the posted that somebody refers to. */
  readonly #parents = new Map<string, Parent>()
  readonly #isReferredTo: (id: string) => boolean

  /** @param isReferredTo whether a transaction is one that others may give back: of a million most are not */
  constructor(isReferredTo: (id: string) => boolean) {
    super()
    this.#isReferredTo = isReferredTo
  }

  /** What must become of a record whose id is new. */
  judge(input: Input): Verdict {
    switch (input.kind) {
      case 'capture':
      case 'reverse':
        return this.#judgePart(input)
      case 'void': {
        const parent = this.#parents.get(input.parentId ?? '')
        if (parent === undefined || parent.state === 'posted') return rejected('about its parent')
        return { status: 'voided', moves: [], suspicion: null }
      }
      default:
        return this.#judgePostings(input, { withRules: true })
    }
  }

  /** What must become of a held transaction that is reviewed; undefined where none is held. */
  judgeReview(id: string, decision: string): Verdict | undefined {
    const parent = this.#parents.get(id)
    if (parent?.state !== 'held') return undefined
    if (decision === 'decline') return { status: 'declined', moves: [], suspicion: null }
    this.#reserve(parent, -1n)
    const verdict = this.#judgePostings(parent.input, { withRules: false })
    this.#reserve(parent, 1n)
    return verdict
  }

  #judgePostings(input: Input, { withRules }: { withRules: boolean }): Verdict {
    const { postings } = input
    const isKnown = ({ debit, credit }: InputPosting) => this.accounts.has(debit) && this.accounts.has(credit)
    if (!postings.every(isKnown)) return rejected('unknown_account')
    if (this.#isFrozen(postings)) return rejected('account_frozen')
    const suspicion = withRules ? this.suspicionOf(postings) : null
    if (suspicion?.action === 'reject') return rejected('fraud_rejected', suspicion)
    const isReserved = input.kind === 'authorize' || suspicion?.action === 'hold'
    const net = isReserved ? reservedBy(postings) : netOf(postings)
    if (!this.#isWithinLimits(net, { isReversal: false })) return rejected('insufficient_funds', suspicion)
    if (suspicion?.action === 'hold') return { status: 'held', moves: [], suspicion }
    if (input.kind === 'authorize') return { status: 'authorized', moves: [], suspicion }
    return { status: 'applied', moves: postings, suspicion }
  }

  /** A capture or a reversal: of all that is left, or of the parts named. */
  #judgePart(input: Input): Verdict {
    const isReversal = input.kind === 'reverse'
    const parent = this.#parents.get(input.parentId ?? '')
    const isOfParent = isReversal
      ? parent?.state === 'posted' && parent.input.kind !== 'reverse'
      : parent?.state === 'authorized'
    if (parent === undefined || !isOfParent) return rejected('about its parent')
    const parts = partsOf(input.postings, parent)
    if (parts === undefined) return rejected('about its parent')
    const moves = isReversal ? parts.map(swapped) : parts
    if (this.#isFrozen(moves)) return rejected('account_frozen')
    // A capture's money was reserved within the limits.
    if (isReversal && !this.#isWithinLimits(netOf(moves), { isReversal }))
      return rejected('insufficient_funds')
    return { status: 'applied', moves, suspicion: null }
  }

  #isFrozen(postings: readonly InputPosting[]): boolean {
    return postings.some(({ debit, credit }) =>
      [debit, credit].some((id) => this.accounts.get(id)?.status === 'frozen'),
    )
  }

  #isWithinLimits(net: ReadonlyMap<string, bigint>, { isReversal }: { isReversal: boolean }): boolean {
    return [...net].every(([id, change]) => {
      const account = this.accounts.get(id)
      if (change >= 0n || account?.limited !== true || (isReversal && account.reversalMayOverdraw))
        return true
      return account.posted - account.reserved + change + account.overdraftLimit >= 0n
    })
  }

  /** Moves one posting's money. @returns the balances after it; undefined for accounts that nobody opened */
  move({ debit, credit, amount }: InputPosting): { debit: bigint; credit: bigint } | undefined {
    const [from, to] = [this.accounts.get(debit), this.accounts.get(credit)]
    if (from === undefined || to === undefined) return undefined
    from.posted -= amount
    to.posted += amount
    return { debit: from.posted, credit: to.posted }
  }

  /** Follows what a record did to what is reserved and what can be given back; its money is moved already. */
  settle(input: Input, status: string, moved: readonly InputPosting[]): void {
    if (status === 'authorized' || status === 'held') this.#hold(input, status)
    else if (status === 'voided') this.#end(input.parentId ?? '')
    else if (status === 'applied') this.#take(input, moved)
  }

  /** Follows what a review did. */
  settleReview(id: string, status: string, moved: readonly InputPosting[]): void {
    const parent = this.#parents.get(id)
    if (parent?.state !== 'held') return
    this.#end(id)
    if (status === 'authorized') this.#hold(parent.input, status)
    else if (status === 'applied') this.#take(parent.input, moved)
  }

  /** The transaction that is held under an id. */
  heldAs(id: string): Input | undefined {
    const parent = this.#parents.get(id)
    return parent?.state === 'held' ? parent.input : undefined
  }

  /** The accounts that these postings lowered and that have less than their limit allows. */
  broken(postings: readonly InputPosting[]): string[] {
    const lowered = [...netOf(postings)].filter(([, change]) => change < 0n)
    return lowered.flatMap(([id]) => {
      const account = this.accounts.get(id)
      const isBroken =
        account?.limited === true && account.posted - account.reserved + account.overdraftLimit < 0n
      return isBroken ? [id] : []
    })
  }

  #hold(input: Input, state: 'authorized' | 'held'): void {
    const parent = { state, input, left: input.postings.map(({ amount }) => amount) }
    this.#parents.set(input.id, parent)
    this.#reserve(parent, 1n)
  }

  #end(id: string): void {
    const parent = this.#parents.get(id)
    if (parent === undefined || parent.state === 'posted') return
    this.#reserve(parent, -1n)
    this.#parents.delete(id)
  }

  #take(input: Input, moved: readonly InputPosting[]): void {
    const parent = this.#parents.get(input.parentId ?? '')
    if (parent !== undefined && (input.kind === 'capture' || input.kind === 'reverse')) {
      if (parent.state === 'authorized') this.#reserve(parent, -1n)
      for (const posting of moved) {
        const place = placeIn(parent, input.kind === 'reverse' ? swapped(posting) : posting)
        if (place !== undefined) parent.left[place] = parent.left[place]! - posting.amount
      }
      if (parent.state === 'authorized') this.#reserve(parent, 1n)
      // Of an authorization nothing is left to be voided then.
      if (parent.state === 'authorized' && parent.left.every((left) => left === 0n))
        this.#parents.delete(input.parentId!)
    }
    if (input.kind === 'reverse' || !this.#isReferredTo(input.id)) return
    const of = { ...input, postings: moved }
    this.#parents.set(input.id, { state: 'posted', input: of, left: moved.map(({ amount }) => amount) })
  }

  #reserve({ input, left }: Parent, sign: bigint): void {
    for (const [place, { debit }] of input.postings.entries()) {
      const account = this.accounts.get(debit)
      if (account !== undefined) account.reserved += sign * left[place]!
    }
  }
}

/** All accounts here are of the credit side: debits lower them. */
const netOf = (postings: readonly InputPosting[]): Map<string, bigint> => {
  const net = new Map<string, bigint>()
  for (const { debit, credit, amount } of postings) {
    net.set(debit, (net.get(debit) ?? 0n) - amount)
    net.set(credit, (net.get(credit) ?? 0n) + amount)
  }
  return net
}

const reservedBy = (postings: readonly InputPosting[]): Map<string, bigint> => {
  const reserved = new Map<string, bigint>()
  for (const { debit, amount } of postings) reserved.set(debit, (reserved.get(debit) ?? 0n) - amount)
  return reserved
}

const swapped = ({ debit, credit, ...rest }: InputPosting): InputPosting => ({
  debit: credit,
  credit: debit,
  ...rest,
})

/** The parts of the parent that are asked for; all that is left where none are named. Undefined where there isn't so much. */
const partsOf = (asked: readonly InputPosting[], parent: Parent): InputPosting[] | undefined => {
  const { input, left } = parent
  if (asked.length === 0) {
    const all = input.postings.map((posting, place) => ({ ...posting, amount: left[place]! }))
    const parts = all.filter(({ amount }) => amount > 0n)
    return parts.length === 0 ? undefined : parts
  }
  // The load names one part at most.
  return asked.every((posting) => placeIn(parent, posting) !== undefined) ? [...asked] : undefined
}

/** Which of the parent's postings a part is of. */
const placeIn = ({ input, left }: Parent, { debit, credit, amount }: InputPosting): number | undefined => {
  const place = input.postings.findIndex(
    (posting, at) => posting.debit === debit && posting.credit === credit && left[at]! >= amount,
  )
  return place < 0 ? undefined : place
}
