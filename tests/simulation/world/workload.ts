/** The simulated producers: accounts, payments, authorizations and what follows them, rules, reviews, rubbish; biased to the edges. */
import { encoderOf } from '#platform/schema-registry/contracts.ts'
import { localContracts } from '#processors/testing/ledger-fixture.ts'
import type { RecordToWrite } from '../kafka/log.ts'
import type {
  IntendedAccount,
  IntendedPosting,
  IntendedRule,
  IntendedTransaction,
  Intent,
} from '../oracle/intents.ts'
import { START_MS } from '../scheduler/scheduler.ts'
import { FraudWorkload } from './fraud-workload.ts'
import { OTHER_WRITERS, type Services, TOPIC_PREFIX } from './services.ts'

const encoders = {
  accounts: encoderOf<unknown>(localContracts.accounts),
  transactions: encoderOf<unknown>(localContracts.transactions),
  othersTransactions: encoderOf<unknown>({
    ...localContracts.transactions,
    id: localContracts.transactions.id + OTHER_WRITERS,
  }),
  rules: encoderOf<unknown>(localContracts.rules),
  reviews: encoderOf<unknown>(localContracts.reviews),
}
const CUSTOMERS = 8
/** So that a run comes to rest soon. */
const BACKLOG_MAX = 150
const CURRENCIES = ['EUR', 'JPY'] as const
/** A producer's transaction is open at most so long, ms. */
const TRANSACTION_OPEN_MAX_MS = 400

export class Workload {
  written = 0
  isStopped = false
  private readonly services: Services
  private nextId = 1
  private readonly recent: IntendedTransaction[] = []
  private readonly parents: IntendedTransaction[] = []
  private openTransactions = 0
  private readonly fraud: FraudWorkload
  private readonly backlog: () => number
  /** In a deep run few records come twice or are about earlier ones. */
  private readonly isDeep: boolean
  private readonly twice: number
  private readonly following: number

  /** @param backlog about how many records are waiting to be decided */
  constructor(services: Services, backlog: () => number) {
    this.services = services
    this.backlog = backlog
    this.fraud = new FraudWorkload(services, (topic, record) => {
      if (!this.isStopped) this.write(topic, 0, [record])
    })
    this.isDeep = services.isDeep
    this.twice = this.isDeep ? 0.001 : 0.06
    this.following = this.isDeep ? 0.002 : 0.18
  }

  /** Opens most accounts and goes on producing until it is stopped. */
  start(): void {
    for (let no = 0; no < CUSTOMERS * 2; no += 1) {
      if (no === 5) continue
      this.write('accounts', 0, [this.accountRecord(this.opening(no))])
    }
    if (this.services.hasRulebook) this.fraud.bringInRulebook()
    this.again()
  }

  private again(): void {
    const { scheduler } = this.services
    const pauseMs = scheduler.random.chance(0.05)
      ? scheduler.random.int(50, 400)
      : scheduler.random.skewed(0.2, 30)
    scheduler.schedule(pauseMs, 'produce', null, () => {
      if (this.isStopped) return
      if (this.services.broker.isUp && this.backlog() < BACKLOG_MAX) this.produce()
      this.again()
    })
  }

  private produce(): void {
    const { random } = this.services.scheduler
    if (this.services.hasRulebook && random.chance(0.1)) this.fraud.produce(this.recent)
    const choice = random.next()
    if (choice < 0.02) this.write('accounts', 0, [this.accountRecord(this.change())])
    else if (choice < 0.035) this.write('rules', 0, [this.ruleRecord()])
    else if (choice < 0.06) this.write('reviews', 0, [this.reviewRecord()])
    else if (choice < 0.16) this.writeInTransaction()
    else {
      const records = Array.from(
        { length: random.int(1, random.chance(0.1) ? (this.isDeep ? 80 : 20) : 3) },
        () => this.transactionRecord(),
      )
      this.write('transactions', this.busyPartition(), records)
    }
  }

  /** In every fourth run one partition stays without records. */
  private busyPartition(): number {
    const { seed, random } = this.services.scheduler
    return random.int(0, seed % 4 === 1 ? 1 : 2)
  }

  private write(topic: string, partition: number, records: RecordToWrite[]): void {
    this.written += records.length
    this.services.broker.produce(TOPIC_PREFIX + topic, partition, records)
  }

  /** As a transactional producer, whose transaction may take a while and may be rolled back. */
  private writeInTransaction(): void {
    const { scheduler, broker } = this.services
    const { random } = scheduler
    if (this.openTransactions >= 3) return
    this.openTransactions += 1
    const id = `producer-${random.int(1, 3)}`
    const begun = broker.initProducer(id)
    if (typeof begun === 'string') {
      this.openTransactions -= 1
      return
    }
    const commits = random.chance(0.6)
    broker.join(id, begun.epoch, 5_000)
    for (let part = 0; part < random.int(1, 3); part += 1) {
      const records = Array.from({ length: random.int(1, 3) }, () => this.transactionRecord())
      const partition = this.busyPartition()
      broker.produceInTransaction(id, begun.epoch, `${TOPIC_PREFIX}transactions`, partition, records)
    }
    scheduler.schedule(random.skewed(0.1, TRANSACTION_OPEN_MAX_MS), 'producer ends', null, () => {
      broker.endTransaction(id, begun.epoch, commits)
      this.openTransactions -= 1
    })
  }

  /** So many new ones to one partition at once. */
  writePayments(partition: number, count: number): void {
    const records = Array.from({ length: count }, () => this.encoded(this.newPayment('post')))
    this.write('transactions', partition, records)
  }

  private accountId(no: number): string {
    return no < CUSTOMERS ? `c${no}` : `x${no - CUSTOMERS}`
  }

  private currencyOf(no: number): string {
    return CURRENCIES[no % 4 === 3 ? 1 : 0]
  }

  private opening(no: number): IntendedAccount {
    const isCustomer = no < CUSTOMERS
    return {
      type: 'account',
      action: 'open',
      id: this.accountId(no),
      currency: this.currencyOf(no),
      isCustomer,
      limited: isCustomer,
      overdraftLimit: no % 3 === 0 ? 500n : 0n,
    }
  }

  private change(): IntendedAccount {
    const { random } = this.services.scheduler
    const no = random.int(0, CUSTOMERS - 1)
    const action = random.pick(['open', 'set_limit', 'set_limit', 'freeze', 'unfreeze', 'unfreeze'] as const)
    const made = this.opening(action === 'open' ? random.int(0, CUSTOMERS * 2 - 1) : no)
    return action === 'open' ? made : { ...made, action, overdraftLimit: BigInt(random.int(0, 3) * 400) }
  }

  private accountRecord(intent: IntendedAccount): RecordToWrite {
    const value = encoders.accounts.encode({
      action: intent.action,
      accountId: intent.id,
      currency: intent.currency,
      accountClass: intent.isCustomer ? 'customer' : 'external',
      normalSide: 'credit',
      limited: intent.limited,
      overdraftLimit: intent.overdraftLimit,
      reversalMayOverdraw: false,
      actor: 'simulation',
      occurredAt: BigInt(START_MS),
    })
    return this.record(intent.id, value, intent)
  }

  private ruleRecord(): RecordToWrite {
    const { random } = this.services.scheduler
    const intent: IntendedRule = {
      type: 'rule',
      ruleId: `r${random.int(1, 3)}`,
      currency: random.pick(CURRENCIES),
      threshold: BigInt(random.int(1, 10) * 100),
      action: random.pick(['reject', 'reject', 'hold', 'alert'] as const),
      enabled: random.chance(0.6),
    }
    const value = encoders.rules.encode({
      ruleId: intent.ruleId,
      type: 'amount_limit',
      currency: intent.currency,
      threshold: intent.threshold,
      windowMs: 0n,
      action: intent.action,
      enabled: intent.enabled,
      actor: 'simulation',
      occurredAt: BigInt(START_MS),
    })
    return this.record(intent.ruleId, value, intent)
  }

  private reviewRecord(): RecordToWrite {
    const { random } = this.services.scheduler
    const of = this.parents.length === 0 ? null : random.pick(this.parents)
    const intent: Intent = {
      type: 'review',
      id: of?.id ?? 'nobody',
      source: of?.source ?? 'a',
      release: random.chance(0.5),
    }
    const value = encoders.reviews.encode({
      transactionId: intent.id,
      source: intent.source,
      decision: intent.release ? 'release' : 'decline',
      reason: '',
      actor: 'reviewer',
      occurredAt: BigInt(START_MS),
    })
    return this.record(intent.id, value, intent)
  }

  private transactionRecord(): RecordToWrite {
    const { random } = this.services.scheduler
    const choice = random.next()
    if (choice < 0.01) return this.record('?', Buffer.from([0, 0, 0, 0, 3, 255, 1]), { type: 'garbage' })
    // The same again, sometimes by another partition; or another content under a taken id.
    if (random.chance(this.twice) && this.recent.length > 0) return this.encoded(random.pick(this.recent))
    if (random.chance(this.twice / 6) && this.recent.length > 0) {
      return this.encoded({ ...this.newPayment('post'), id: random.pick(this.recent).id })
    }
    if (random.chance(this.following) && this.parents.length > 0) return this.encoded(this.newFollower())
    return this.encoded(this.newPayment(choice < 0.3 ? 'authorize' : 'post'))
  }

  private newPosting(): IntendedPosting {
    const { random } = this.services.scheduler
    const from = random.int(0, CUSTOMERS * 2 - 1)
    // Mostly of the same currency; half of the money comes from outside.
    const debit = random.chance(0.5) ? CUSTOMERS + (from % CUSTOMERS) : from % CUSTOMERS
    const credit = random.chance(0.02)
      ? debit
      : (random.int(0, 3) * 4 + (random.chance(0.03) ? random.int(0, 3) : debit % 4)) % (CUSTOMERS * 2)
    const amount = random.chance(0.01) ? 0n : BigInt(random.skewed(1, 1_200) | 0) + 1n
    return {
      debit: random.chance(0.01) ? 'nobody' : this.accountId(debit),
      credit: this.accountId(credit),
      amount,
      currency: random.chance(0.01) ? 'USD' : this.currencyOf(debit),
    }
  }

  private newPayment(kind: 'post' | 'authorize'): IntendedTransaction {
    const { hasRulebook } = this.services
    const { random, nowMs } = this.services.scheduler
    const postings = [this.newPosting()]
    if (random.chance(0.2)) {
      const { debit, currency } = postings[0]!
      const second = this.newPosting()
      postings.push({ ...second, debit, currency })
    }
    const made: IntendedTransaction = {
      type: 'transaction',
      kind,
      id: `t${this.nextId}`,
      source: 'a',
      postings,
      parentId: null,
      expiresAt:
        kind === 'authorize' && random.chance(0.7)
          ? START_MS + Math.floor(nowMs) + random.int(100, 6_000)
          : null,
      occurredAt: START_MS + Math.floor(nowMs),
      terminal: hasRulebook ? this.fraud.terminal() : null,
    }
    this.nextId += 1
    return made
  }

  private newFollower(): IntendedTransaction {
    const { random } = this.services.scheduler
    const parent = random.pick(this.parents)
    const kind =
      parent.kind === 'authorize'
        ? random.pick(['capture', 'capture', 'void', 'reverse'] as const)
        : random.pick(['reverse', 'reverse', 'capture'] as const)
    return {
      ...this.newPayment('post'),
      kind,
      postings: [],
      parentId: parent.id,
    }
  }

  private encoded(intent: IntendedTransaction): RecordToWrite {
    this.recent.push(intent)
    if (this.recent.length > 40) this.recent.shift()
    this.parents.push(intent)
    if (this.parents.length > 30) this.parents.shift()
    const { transactions, othersTransactions } = encoders
    const encoder = this.services.scheduler.random.chance(0.2) ? othersTransactions : transactions
    const value = encoder.encode({
      ...intent,
      type: undefined,
      parentSource: null,
      card: null,
      merchant: null,
      terminal: intent.terminal,
      device: null,
      country: null,
      endToEndId: null,
      uetr: null,
      valueTime: null,
      occurredAt: BigInt(intent.occurredAt),
      expiresAt: intent.expiresAt === null ? null : BigInt(intent.expiresAt),
      actor: 'simulation',
      metadata: {},
      after: null,
    })
    return this.record(intent.id, value, intent)
  }

  private record(key: string, value: Buffer, meaning: Intent): RecordToWrite {
    return { key: Buffer.from(key), value, meaning }
  }
}
