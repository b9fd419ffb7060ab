/** What the simulated producers add in runs with a rulebook: its proposals and approvals, terminals, labels. */
import { encoderOf } from '#platform/schema-registry/contracts.ts'
import { localContracts } from '#processors/testing/ledger-fixture.ts'
import type { RecordToWrite } from '../kafka/log.ts'
import {
  HELD_BY_MODEL,
  HELD_FROM,
  HELD_TO,
  type IntendedRulebook,
  type IntendedTransaction,
  type Intent,
} from '../oracle/intents.ts'
import { START_MS } from '../scheduler/scheduler.ts'
import type { Services } from './services.ts'

const encoders = {
  rules: encoderOf<unknown>(localContracts.rules),
  labels: encoderOf<unknown>(localContracts['fraud.labels']),
}
/** Enough that some are new again and again. */
const TERMINALS = 12
const RULEBOOK = JSON.stringify({
  format: 1,
  name: 'terminals',
  version: 1,
  rules: [
    { id: 'busy', fires: { feature: 'terminal_count_1d', atLeast: HELD_FROM }, action: 'hold', mode: 'live' },
    { id: 'scored', fires: { feature: 'model_score', atLeast: 0 }, action: 'hold', mode: 'live' },
    { id: 'told', fires: { feature: 'account_frauds_28d', above: 0 }, action: 'alert', mode: 'shadow' },
  ].map((rule) => ({
    ...rule,
    when: { feature: 'terminal_count_1d', atMost: HELD_TO },
    version: 1,
    title: rule.id,
    words: '{value}',
    weight: 1,
    onError: 'open',
    author: 'ann',
    approvedBy: 'ben',
  })),
  model: {
    format: 1,
    name: 'second',
    version: '1',
    training: {},
    features: ['terminal_count_1d'],
    base: -5,
    trees: [`0,${HELD_BY_MODEL - 1},1,2,0 v-1 0,${HELD_BY_MODEL},3,4,0 v5 v-1`],
  },
})

/** How often it is looked whether the proposal is stored. */
const LOOKS_MAX = 200

export class FraudWorkload {
  private readonly services: Services
  private readonly write: (topic: 'rules' | 'fraud.labels', record: RecordToWrite) => void
  private isProposed = false
  private looks = 0
  private lastLabel: RecordToWrite | null = null

  constructor(services: Services, write: FraudWorkload['write']) {
    this.services = services
    this.write = write
  }

  /** Proposed at once, approved as soon as it is stored: there must be time left for what it decides. */
  bringInRulebook(): void {
    const proposed = this.newestProposal()
    const intent = { type: 'rulebook' as const, approves: proposed, actor: proposed === null ? 'ann' : 'ben' }
    if (!this.isProposed || proposed !== null) this.write('rules', this.rulebookOf(intent))
    this.isProposed = true
    if (proposed !== null || this.looks++ > LOOKS_MAX) return
    this.services.scheduler.schedule(50, 'approve', null, () => this.bringInRulebook())
  }

  /** A label of a recent payment; sometimes a proposal or an approval. */
  produce(recent: readonly IntendedTransaction[]): void {
    if (this.services.scheduler.random.chance(0.2)) this.write('rules', this.rulebookRecord())
    else this.write('fraud.labels', this.labelRecord(recent))
  }

  /** Where a payment is made; null = it doesn't say. */
  terminal(): string | null {
    const { random } = this.services.scheduler
    return random.chance(0.5) ? `till-${random.int(1, TERMINALS)}` : null
  }

  /** Proposals and approvals of the newest one: some by its author, some of another version. */
  private rulebookRecord(): RecordToWrite {
    const { random } = this.services.scheduler
    const proposed = this.newestProposal()
    const isApproval = proposed !== null && random.chance(0.7)
    const intent: IntendedRulebook = {
      type: 'rulebook',
      approves: isApproval ? proposed + (random.chance(0.1) ? 1n : 0n) : null,
      actor: isApproval && random.chance(0.9) ? 'ben' : 'ann',
    }
    return this.rulebookOf(intent)
  }

  private rulebookOf(intent: IntendedRulebook): RecordToWrite {
    const isApproval = intent.approves !== null
    const name = isApproval ? 'rulebook' : 'rulebook_proposal'
    const value = encoders.rules.encode({
      ruleId: name,
      type: name,
      currency: null,
      threshold: 0n,
      windowMs: 0n,
      action: 'alert',
      enabled: true,
      definition: isApproval ? null : RULEBOOK,
      approves: intent.approves,
      actor: intent.actor,
      occurredAt: BigInt(START_MS),
    })
    return recordOf(name, value, intent)
  }

  private newestProposal(): bigint | null {
    let newest: bigint | null = null
    for (const [key, { version }] of this.services.database.tables.rules) {
      if (key.startsWith('rulebook_proposal.') && version > (newest ?? 0n)) newest = version
    }
    return newest
  }

  /** Some come twice. */
  private labelRecord(recent: readonly IntendedTransaction[]): RecordToWrite {
    const { random } = this.services.scheduler
    if (this.lastLabel !== null && random.chance(0.4)) return this.lastLabel
    const of = recent.length === 0 ? null : random.pick([...recent])
    const intent: Intent = {
      type: 'label',
      id: of?.id ?? 'nobody',
      source: of?.source ?? 'a',
      isFraud: random.chance(0.5),
    }
    const value = encoders.labels.encode({
      transactionId: intent.id,
      source: intent.source,
      verdict: intent.isFraud ? 'fraud' : 'genuine',
      reason: '',
      actor: 'fraud desk',
      occurredAt: BigInt(START_MS),
    })
    this.lastLabel = recordOf(intent.id, value, intent)
    return this.lastLabel
  }
}

const recordOf = (key: string, value: Buffer, meaning: Intent): RecordToWrite => ({
  key: Buffer.from(key),
  value,
  meaning,
})
