/** The one rulebook of a simulation, and labels, as simple as can be. */
import { HELD_BY_MODEL, HELD_FROM, HELD_TO } from './intents.ts'
import type { IntendedLabel, IntendedRulebook, IntendedTransaction } from './intents.ts'
import { keyOf } from './keys.ts'

export class RulebookModel {
  private proposal: { readonly version: bigint; readonly actor: string } | null = null
  private isInForce = false
  /** Payments that each terminal took since the rulebook looks at them. */
  private readonly taken = new Map<string, number>()
  /** Payers of payments that labels may come for. */
  private readonly payers = new Map<string, string>()
  private readonly labels = new Map<string, boolean>()

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
    this.labels.set(key, isFraud)
    const payer = this.payers.get(key)
    return payer === undefined ? [] : [payer]
  }
}
