/** Closed periods held against the closings that history gives when it is decided again: every column of every row, and the hashes. */
import { CLOSING_FORMAT, ClosingDigest, type ClosingSum } from '#domain/ledger/closing.ts'
import type { BatchEffects, CardState } from '#domain/ledger/state.ts'
import { currencyByCode } from '#domain/money/currency.ts'
import { monthAfter, monthOf, monthStartMs } from '#domain/time/months.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import {
  type AuditRow,
  type AuditTable,
  auditText,
  PERIODIC,
  readPeriodic,
  readStrayPeriods,
} from '#platform/postgres/queries/audit-rows.ts'
import type { StoredHeader } from '../replay/header.ts'
import type { LedgerMemory } from '../replay/ledger-memory.ts'
import { rowText } from './appended-tables.ts'
import type { Findings } from './findings.ts'
import { MonthSums, type NumberedAccount, type NumberedCard } from './month-sums.ts'

const FIRST_PREVIOUS_HASH = Buffer.alloc(32)
const row = (...values: readonly unknown[]): AuditRow => values.map(auditText)
const listText = (values: readonly bigint[]): string => `{${values.join(',')}}`

const accountRow = (month: string, each: NumberedAccount): AuditRow =>
  row(
    month,
    each.no,
    currencyByCode(each.currency)!.numeric,
    each.opening,
    each.debits,
    each.credits,
    each.debitCount,
    each.creditCount,
    each.closing,
    each.version,
    listText(each.days.map(({ at }) => at)),
    listText(each.days.map(({ net }) => net)),
    listText(each.later.map(({ at }) => at)),
    listText(each.later.map(({ net }) => net)),
  )

const cardRow = (month: string, each: NumberedCard): AuditRow =>
  row(month, each.no, each.debits, each.credits, each.spent)

/** Takes batches in sequence; each month is compared once it is complete. */
export class ClosedMonths {
  private readonly pool: ReadPool
  private readonly memory: LedgerMemory
  private readonly findings: Findings
  private readonly ledger: string
  /** Rows of `periods`, by month; those that were compared are taken out. */
  private readonly stored: Map<string, AuditRow>
  /** Of the last stored one; what comes after it isn't looked at. */
  private readonly last: string | null
  private first: string | null = null
  private month: string | null = null
  private sums: MonthSums | null = null
  private firstSequence: bigint | null = null
  private lastSequence: bigint | null = null
  private chain: { sequence: bigint; hash: Buffer } = { sequence: 0n, hash: FIRST_PREVIOUS_HASH }
  private previousHash: Buffer = FIRST_PREVIOUS_HASH

  private constructor(
    pool: ReadPool,
    memory: LedgerMemory,
    findings: Findings,
    ledger: string,
    stored: Map<string, AuditRow>,
  ) {
    this.pool = pool
    this.memory = memory
    this.findings = findings
    this.ledger = ledger
    this.stored = stored
    this.last = [...stored.keys()].sort().at(-1) ?? null
  }

  /** Reads what was closed. */
  static async open(
    pool: ReadPool,
    memory: LedgerMemory,
    findings: Findings,
    ledger: string,
  ): Promise<ClosedMonths> {
    const stored = new Map<string, AuditRow>()
    for await (const rows of readPeriodic(pool, PERIODIC.periods, null)) {
      for (const each of rows) stored.set(each[0]!, each)
    }
    return new ClosedMonths(pool, memory, findings, ledger, stored)
  }

  /** A decided batch, before the ledger's memory keeps it. */
  async add({ sequence, hash, header }: StoredHeader, effects: BatchEffects): Promise<void> {
    this.first ??= monthOf(effects.decisions[0]?.recordedAt ?? header.tick)
    if (this.last === null) return
    for (const decision of effects.decisions) {
      await this.enter(decision.recordedAt, sequence)
      if (decision.status !== 'applied') continue
      this.sums?.add(sequence, decision, this.cardOf(decision.cardNo, effects))
    }
    await this.enter(header.tick, sequence)
    this.chain = { sequence, hash }
  }

  /** Compares what is left, as of the ledger's last tick. */
  async end(nowMs: number): Promise<void> {
    const now = monthOf(nowMs)
    while (this.last !== null && this.month !== null && this.month < now) await this.finish()
    for (const month of this.stored.keys()) this.findings.add('periods', month, 'added')
    for (const table of [PERIODIC.closings, PERIODIC.card_closings]) {
      // A complete month that isn't closed yet may have the rows of an attempt that was cut short: they count for nothing.
      for (const month of await readStrayPeriods(this.pool, table, this.first ?? now, now)) {
        this.findings.add(table.name, month, 'added')
      }
    }
  }

  private cardOf(no: number | null, effects: BatchEffects): CardState | null {
    if (no === null) return null
    return this.memory.cardsByNo[no] ?? [...effects.cards].find((card) => card.no === no) ?? null
  }

  /** Something of a batch was recorded at this time. */
  private async enter(recordedMs: number, sequence: bigint): Promise<void> {
    const month = monthOf(recordedMs)
    if (this.month === null) {
      this.month = month
      this.sums = new MonthSums(monthStartMs(month, 1), null)
    }
    while (this.month < month) await this.finish()
    this.firstSequence ??= sequence
    this.lastSequence = sequence
  }

  /** The month is complete. */
  private async finish(): Promise<void> {
    const month = this.month!
    if (month <= this.last!) await this.compare(month)
    this.month = monthAfter(month)
    this.sums = month < this.last! ? new MonthSums(monthStartMs(this.month, 1), this.sums) : null
    this.firstSequence = null
    this.lastSequence = null
  }

  private async compare(month: string): Promise<void> {
    const head = {
      ...{ ledger: this.ledger, period: month },
      ...{ firstSequence: this.firstSequence, lastSequence: this.lastSequence },
      ...{ chainSequence: this.chain.sequence, chainHash: this.chain.hash },
    }
    const digest = new ClosingDigest(head, this.previousHash)
    const accounts = new Map<string, { name: string; text: string }>()
    for (const each of this.sums!.accountClosings()) {
      digest.addAccount(each)
      accounts.set(String(each.no), { name: each.accountId, text: rowText(accountRow(month, each)) })
    }
    const cards = new Map<string, { name: string; text: string }>()
    for (const each of this.sums!.cardClosings()) {
      digest.addCard(each)
      cards.set(String(each.no), { name: each.card, text: rowText(cardRow(month, each)) })
    }
    const sum = digest.finish()
    const stored = this.stored.get(month)
    this.stored.delete(month)
    if (stored === undefined) this.findings.add('periods', month, 'removed')
    else if (rowText(stored) !== rowText(periodRow(month, head, sum, this.previousHash))) {
      this.findings.add('periods', month, 'changed')
    }
    await this.compareRows(PERIODIC.closings, month, accounts)
    await this.compareRows(PERIODIC.card_closings, month, cards)
    this.previousHash = sum.hash
  }

  private async compareRows(
    table: AuditTable,
    month: string,
    expected: Map<string, { name: string; text: string }>,
  ): Promise<void> {
    for await (const rows of readPeriodic(this.pool, table, month)) {
      this.findings.rows += rows.length
      for (const each of rows) {
        const no = each[1]!
        const wanted = expected.get(no)
        expected.delete(no)
        if (wanted === undefined) this.findings.add(table.name, `${month}/${this.nameOf(table, no)}`, 'added')
        else if (wanted.text !== rowText(each)) {
          this.findings.add(table.name, `${month}/${wanted.name}`, 'changed')
        }
      }
    }
    for (const { name } of expected.values()) this.findings.add(table.name, `${month}/${name}`, 'removed')
  }

  private nameOf(table: AuditTable, no: string): string {
    const { accountsByNo, cardsByNo } = this.memory
    const name = table === PERIODIC.closings ? accountsByNo[Number(no)]?.id : cardsByNo[Number(no)]?.card
    return name ?? `#${no}`
  }
}

const periodRow = (
  month: string,
  head: ConstructorParameters<typeof ClosingDigest>[0],
  { hash, accounts, cards, postings, totals }: ClosingSum,
  previousHash: Buffer,
): AuditRow =>
  row(
    month,
    CLOSING_FORMAT,
    head.firstSequence,
    head.lastSequence,
    head.chainSequence,
    head.chainHash.toString('hex'),
    postings,
    accounts,
    cards,
    totals,
    previousHash.toString('hex'),
    hash.toString('hex'),
  )
