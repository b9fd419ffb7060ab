/** Compacted views of accounts and rules: each record is a state that there was, in order, and the newest is the last one. */
import type { Findings } from '../findings.ts'
import type { ExpectedState } from './expected-outputs.ts'
import type { ReadRecord } from './java-topic.ts'
import type { Rule } from './rules.ts'

/** Which rules speak of a topic. */
export interface StateRules {
  readonly latest: Rule
  readonly asItWas: Rule
  readonly newer: Rule
}

/** Older records of a key may be compacted away; those that are there are compared. */
export const checkStates = async <Value>(
  findings: Findings,
  records: AsyncIterable<ReadRecord<Value>>,
  options: {
    readonly rules: StateRules
    readonly expected: ReadonlyMap<string, readonly ExpectedState[]>
    readonly read: (value: Value) => ExpectedState & { readonly id: string }
  },
): Promise<void> => {
  const { rules, expected } = options
  const latest = new Map<string, ExpectedState>()
  for await (const { partition, offset, value } of records) {
    const at = `${partition}:${offset}`
    if (value === undefined) {
      findings.check(rules.asItWas, false, () => `${at} can't be read`)
      continue
    }
    const { id, sequence, state } = options.read(value)
    const before = latest.get(id)
    // A rule may change twice in one batch.
    const isNewer = before === undefined || before.sequence <= sequence
    findings.check(rules.newer, isNewer, () => `${id}: ${before?.sequence}, then ${sequence}`)
    const known = expected.get(id)?.filter((each) => each.sequence === sequence) ?? []
    const isKnown = known.some((each) => each.state === state)
    const said = () =>
      `${id} at ${at}: ${state} in ${sequence}, had ${known.map((each) => each.state).join()}`
    findings.check(rules.asItWas, isKnown, said)
    latest.set(id, { sequence, state })
  }
  const describe = (of: ExpectedState | undefined) => of && `${of.state} in ${of.sequence}`
  for (const [id, states] of expected) {
    findings.same(rules.latest, id, describe(states.at(-1)), describe(latest.get(id)))
  }
}
