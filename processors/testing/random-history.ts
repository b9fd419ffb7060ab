/** A ledger's life over months, random and the same on each run: payments back-dated and ahead, card payments, reversals, ticks in between. */
import type { CardInput, LedgerInput, TransactionInput } from '#domain/ledger/inputs.ts'
import { account, external, posting, tick, transaction } from '#domain/ledger/testing/memory-ledger.ts'
import type { TransactionCommand } from '#domain/transactions/command.ts'
import type { LedgerDriver, LedgerFixture } from './ledger-fixture.ts'

const DAY_MS = 86_400_000

/** One side of a posting. */
export interface HistoryEntry {
  readonly account: string
  readonly recordedMs: number
  readonly valueMs: number
  /** Credits less debits, minor units. */
  readonly signed: bigint
}

export class RandomHistory {
  /** Without limits; `world` pays too, `idle` never moves. `tok_1` is a card of the first one. */
  readonly accounts: readonly string[] = Array.from({ length: 8 }, (_, n) => `a${n}`)
  /** Ledger time of what comes next, ms. */
  nowMs: number
  private readonly ledger: LedgerFixture
  private readonly driver: LedgerDriver
  private seed: bigint
  private payments = 0

  constructor(ledger: LedgerFixture, driver: LedgerDriver, options: { startMs: number; seed: bigint }) {
    this.ledger = ledger
    this.driver = driver
    this.nowMs = options.startMs
    this.seed = options.seed
  }

  /** A whole number from 0 to below `limit`: a linear congruential generator (Knuth, MMIX). */
  below(limit: number): number {
    this.seed = (this.seed * 6_364_136_223_846_793_005n + 1_442_695_040_888_963_407n) % 2n ** 64n
    return Number((this.seed >> 33n) % BigInt(limit))
  }

  /** Opens the accounts and issues the card. */
  async open(): Promise<void> {
    const opened = this.accounts.map((id) => account(id, { limited: false, reversalMayOverdraw: true }))
    const idle = account('idle', { limited: false })
    await this.driver.apply(this.ledger.log([external('world'), ...opened, idle]))
    await this.driver.apply(this.ledger.log([this.card()]))
  }

  /** Some days with payments, reversals and card payments; time passes within batches too. */
  async live(untilMs: number): Promise<void> {
    while (this.nowMs < untilMs) {
      const inputs: LedgerInput[] = []
      for (let count = 3 + this.below(12); count > 0; count -= 1) {
        inputs.push(this.anything())
        if (this.below(4) > 0) continue
        this.nowMs += this.below(2 * DAY_MS)
        inputs.push(tick(this.nowMs))
      }
      this.nowMs += this.below(DAY_MS)
      inputs.push(tick(this.nowMs))
      await this.driver.apply(this.ledger.log(inputs), 1 + this.below(20))
    }
  }

  /** A payment between two accounts, with a random amount and value time. */
  payment(id: string, changes: Partial<TransactionCommand> = {}): TransactionInput {
    const count = this.accounts.length + 1
    const name = (n: number) => this.accounts[n % count] ?? 'world'
    const from = this.below(count)
    // Back-dated by up to 80 days, some to midnight, or a little ahead: across the end of a month, if it is near.
    const ages = [0, this.below(80) * DAY_MS, this.below(5 * DAY_MS), -this.below(240_000)]
    const value = this.nowMs - ages[this.below(ages.length)]!
    const valueTime = this.below(3) === 0 ? Math.floor(value / DAY_MS) * DAY_MS : value
    const credit = name(from + 1 + this.below(count - 1))
    const amount = BigInt(1 + this.below(5_000))
    const postings = [posting({ debit: name(from), credit, amount })]
    return transaction({ id, occurredAt: this.nowMs, valueTime, postings, ...changes }, this.nowMs)
  }

  /** Gives back all of a payment. */
  reversal(id: string, parentId: string): TransactionInput {
    return transaction({ id, kind: 'reverse', parentId, postings: [], occurredAt: this.nowMs }, this.nowMs)
  }

  /** All entries as they are stored now. */
  async entries(): Promise<HistoryEntry[]> {
    const rows = await this.ledger.rows<{
      account_id: string
      recorded_at: Date
      value_at: Date
      signed_amount: bigint
    }>(
      'select a.account_id, e.recorded_at, e.value_at, e.signed_amount from ledger_entries e join accounts a using (account_no)',
    )
    return rows.map((row) => ({
      account: row.account_id,
      recordedMs: row.recorded_at.getTime(),
      valueMs: row.value_at.getTime(),
      signed: row.signed_amount,
    }))
  }

  private anything(): TransactionInput {
    this.payments += 1
    const kind = this.below(10)
    if (kind === 0 && this.payments > 5) {
      return this.reversal(`r${this.payments}`, `p${this.payments - 1 - this.below(4)}`)
    }
    if (kind > 1) return this.payment(`p${this.payments}`)
    const postings = [posting({ debit: 'a0', credit: 'world', amount: BigInt(1 + this.below(900)) })]
    return this.payment(`p${this.payments}`, { card: 'tok_1', postings })
  }

  private card(): CardInput {
    return {
      type: 'card',
      topic: 'cards',
      partition: 0,
      offset: 0n,
      change: {
        action: 'issue',
        card: 'tok_1',
        accountId: 'a0',
        expiresAt: null,
        transactionLimit: null,
        dailyLimit: null,
        actor: 'tester',
        occurredAt: this.nowMs,
      },
    }
  }
}
