/** The one rulebook of a simulation, and labels, as simple as can be. */
import { decodePayer } from '#domain/fraud/features/payer.ts'
import { HELD_BY_MODEL, HELD_FROM, HELD_TO } from './intents.ts'
import type { IntendedLabel, IntendedRulebook, IntendedTransaction } from './intents.ts'
import { keyOf } from './keys.ts'
import { must } from './violation.ts'

export interface Told {
  readonly labelled: number
  readonly frauds: number
}

export class RulebookModel {
  private proposal: { readonly version: bigint; readonly actor: string } | null = null
  private isInForce = false
  /** Payments that each terminal took since the rulebook looks at them. */
  private readonly taken = new Map<string, number>()
  /** Payers of payments that labels may come for. */
  private readonly payers = new Map<string, string>()
  private readonly labels = new Map<string, boolean>()
  /** By payer: labelled payments, and how many of them were frauds. */
  private readonly told = new Map<string, Told>()

  /** Proposed by one, approved by another: by its version, and only the newest one. @returns whether it took effect */
  decide({ approves, actor }: IntendedRulebook, sequence: bigint): boolean {
    if (approves === null) this.proposal = { version: sequence, actor }
    else if (this.proposal?.version === approves && this.proposal.actor !== actor) this.isInForce = true
    else return false
    return true
  }

  /** A customer's payment. @returns how many the terminal has taken with it; null where nobody looks at it */
  look(intent: IntendedTransaction, key: string): number | null {
    if (!this.isInForce) return null
    this.payers.set(key, intent.postings[0]!.debit)
    return intent.terminal === null ? null : (this.taken.get(intent.terminal) ?? 0) + 1
  }

  holds(count: number | null): boolean {
    return count !== null && (count === HELD_BY_MODEL || (count >= HELD_FROM && count <= HELD_TO))
  }

  note(terminal: string, count: number): void {
    this.taken.set(terminal, count)
  }

  /** The last label counts, once. @returns who paid, where the rulebook looked at it */
  label({ source, id, isFraud }: IntendedLabel, known: ReadonlyMap<string, unknown>): string[] {
    const key = keyOf(source, id)
    if (!known.has(key) || this.labels.get(key) === isFraud) return []
    const before = this.labels.get(key)
    this.labels.set(key, isFraud)
    const payer = this.payers.get(key)
    if (payer === undefined) return []
    const { labelled, frauds } = this.toldOf(payer)
    this.told.set(payer, {
      labelled: labelled + (before === undefined ? 1 : 0),
      frauds: frauds + (isFraud ? 1 : 0) - (before === true ? 1 : 0),
    })
    return [payer]
  }

  toldOf(payer: string): Told {
    return this.told.get(payer) ?? { labelled: 0, frauds: 0 }
  }
}

/** What is stored of a payer is what labels said of it. */
export const checkLabels = (account: string, profile: Buffer | null, wanted: Told): void => {
  if (profile === null) return
  // Three numbers a day: genuine payments, and frauds of two kinds.
  const { cells } = decodePayer(profile).feedback
  const sum = (numbers: readonly number[]) => numbers.reduce((all, number) => all + number, 0)
  const labelled = sum(cells)
  const frauds = labelled - sum(cells.filter((_cell, place) => place % 3 === 0))
  must(
    labelled === wanted.labelled && frauds === wanted.frauds,
    'every label counts once',
    () => `${account}: ${labelled} labelled, ${frauds} frauds, expected ${wanted.labelled}, ${wanted.frauds}`,
  )
}
