/** What the checks looked at and what they found wrong. A check that looked at nothing has shown nothing: `passed` says so. */
import { type Category, RULES, type Rule } from './checks/rules.ts'

export interface Finding {
  /** What must hold. */
  readonly rule: Rule
  examined: number
  wrong: number
  /** The first wrong ones, for whoever has to find the cause. */
  readonly examples: string[]
}

const EXAMPLES_MAX = 5

export class Findings {
  readonly #byRule = new Map<Rule, Finding>()

  /** Notes that one thing was looked at. @param example what to show where it is wrong; built only then */
  check(rule: Rule, holds: boolean, example: () => string): void {
    const finding = this.#of(rule)
    finding.examined += 1
    if (holds) return
    finding.wrong += 1
    if (finding.examples.length < EXAMPLES_MAX) finding.examples.push(example())
  }

  /** As `check`, for two values that must be the same. */
  same(rule: Rule, name: string, expected: unknown, actual: unknown): void {
    this.check(rule, expected === actual, () => `${name}: expected ${expected}, found ${actual}`)
  }

  get all(): readonly Finding[] {
    return [...this.#byRule.values()]
  }

  /** How much is wrong under a number of the report. */
  wrongIn(category: Category): number {
    return this.all.reduce((sum, { rule, wrong }) => sum + (RULES[rule] === category ? wrong : 0), 0)
  }

  /** Whether every rule that was to be looked at was, and nothing is wrong. */
  get passed(): boolean {
    return this.all.length > 0 && this.all.every((finding) => finding.examined > 0 && finding.wrong === 0)
  }

  /** The rule is on the list even if nothing comes to be looked at. */
  expectRule(rule: Rule): void {
    this.#of(rule)
  }

  #of(rule: Rule): Finding {
    let finding = this.#byRule.get(rule)
    if (finding === undefined) {
      finding = { rule, examined: 0, wrong: 0, examples: [] }
      this.#byRule.set(rule, finding)
    }
    return finding
  }
}
