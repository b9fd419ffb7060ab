/**
 * Every row of every table that holds money or decisions, held against the batch records: the chain by itself first, then history
 * decided again, and what it must have left in the tables compared column by column.
 */

import { isPartyForgotten } from '#domain/fraud/parties.ts'
import { encodeProfile, newProfile } from '#domain/fraud/profile.ts'
import { genesisHash } from '#domain/ledger/genesis.ts'
import { idsFromMs } from '#domain/ledger/horizons.ts'
import { currencyByNumeric } from '#domain/money/currency.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { CHANGING } from '#platform/postgres/queries/audit-rows.ts'
import { accountsOffFold, currenciesOffZero, type HeadRow } from '#platform/postgres/queries/audit-sums.ts'
import type { LedgerMemory } from '../replay/ledger-memory.ts'
import type { DecidedBatch } from '../replay/replay.ts'
import { AppendedTables } from './appended-tables.ts'
import { ChangingRows, compareNumbered, type NumberedRows } from './changing-rows.ts'
import {
  accountRow,
  appendedRows,
  cardRow,
  holdRow,
  idRow,
  labelRow,
  partyRow,
  reversalRow,
} from './expected-rows.ts'
import { checkCodes, checkHead, type LastOffsets, PartitionEnds } from './final-state.ts'
import type { Findings } from './findings.ts'
import { checkSweep } from './standing.ts'

/** The hash before the first batch; null where the ledger doesn't know its beginning. */
export const genesisOfHead = (head: HeadRow): Buffer | null =>
  head.genesis_tick_ms === null || head.genesis_logic_version === null
    ? null
    : genesisHash({
        ledger: head.ledger,
        tickMs: Number(head.genesis_tick_ms),
        logicVersion: head.genesis_logic_version,
      })

/** Sums and folds: they need nothing but the tables. */
export const checkSums = async (pool: ReadPool, findings: Findings): Promise<void> => {
  for (const numeric of await currenciesOffZero(pool)) {
    findings.add('accounts', currencyByNumeric(numeric)?.code ?? String(numeric), 'sum')
  }
  for (const name of await accountsOffFold(pool, FOLDS_LISTED_MAX)) findings.add('accounts', name, 'fold')
}

const FOLDS_LISTED_MAX = 1_000

/** Takes what each batch decides, and compares it with the tables: what is only added on the way, what changes at the end. */
export class TableCheck {
  private readonly pool: ReadPool
  private readonly memory: LedgerMemory
  private readonly findings: Findings
  private readonly appended: AppendedTables
  private readonly ids = new ChangingRows(CHANGING.transaction_ids, 'compact')
  private readonly holds = new ChangingRows(CHANGING.holds, 'compact')
  private readonly reversals = new ChangingRows(CHANGING.reversals, 'plain')
  private readonly labels = new ChangingRows(CHANGING.fraud_labels, 'compact')
  private readonly ends = new PartitionEnds()

  /** @param keptFrom rows recorded before it were dropped with their periods; null = all are kept */
  constructor(pool: ReadPool, memory: LedgerMemory, findings: Findings, keptFrom: Date | null) {
    this.pool = pool
    this.memory = memory
    this.findings = findings
    this.appended = new AppendedTables(pool, findings, keptFrom)
  }

  /** Before the ledger's memory keeps the batch. */
  async decided({ stored, state, effects }: DecidedBatch, lastOffsets: LastOffsets): Promise<void> {
    this.ends.add(stored.header, effects, lastOffsets)
    for (const key of effects.forgotten) this.forget(key)
    for (const decision of effects.decisions) {
      if (decision.claims) this.ids.expect(idRow(state.sequence, decision))
    }
    for (const hold of effects.holds) this.holds.expect(holdRow(this.memory.asStored(hold)))
    for (const { key, postings } of effects.parents) {
      for (const { posting, reversed, changed } of postings) {
        if (changed) this.reversals.expect(reversalRow(key, posting, reversed, state.sequence))
      }
    }
    for (const label of effects.labels.values()) this.labels.expect(labelRow(label, state.sequence))
    await this.appended.add(state.sequence, appendedRows(state, effects))
  }

  /** Compares what is left, once the last batch is decided. */
  async end(head: HeadRow): Promise<void> {
    const { pool, memory, findings } = this
    await this.appended.end(null)
    for (const rows of [this.ids, this.holds, this.reversals, this.labels]) {
      await rows.compare(pool, findings, (key) => this.isForgotten(key.split('/')[0]!))
    }
    const accounts: NumberedRows = {
      count: memory.accounts.size,
      rowOf: (no) => accountRow(memory.account(no)),
      // An account that never paid has no profile; one that is empty says the same.
      normalized: (row) => (row.at(-1) === EMPTY_PROFILE ? [...row.slice(0, -1), null] : row),
      nameAt: 1,
    }
    await compareNumbered(pool, CHANGING.accounts, accounts, findings)
    const cards: NumberedRows = {
      count: memory.cards.size,
      rowOf: (no) => cardRow(memory.cardsByNo[no]!),
      normalized: (row) => row,
      nameAt: 1,
    }
    await compareNumbered(pool, CHANGING.cards, cards, findings)
    await this.compareParties()
    checkHead(head, memory, findings)
    await this.ends.compare(pool, memory, findings)
    await checkCodes(pool, findings)
    await checkSweep(pool, memory, findings)
  }

  /** Compares what the decided batches have added, where the ones after them can't be decided again. */
  async endEarly(): Promise<void> {
    await this.appended.end(this.memory.sequence)
  }

  /** Parties that nobody used for long may be gone. */
  private async compareParties(): Promise<void> {
    const { pool, memory, findings } = this
    const rows = new ChangingRows(CHANGING.fraud_parties, 'plain')
    const forgotten = new Set<string>()
    for (const party of memory.parties.values()) {
      const expected = partyRow(party)
      rows.expect(expected)
      if (isPartyForgotten(party, memory.time.nowMs)) forgotten.add(`${expected[0]}/${expected[1]}`)
    }
    await rows.compare(pool, findings, (key) => forgotten.has(key))
  }

  /** Whether an id was taken so long ago that it may be deleted, with what hangs on it. */
  private isForgotten(key: string): boolean {
    const { memory } = this
    const fromMs = idsFromMs(memory.horizons, memory.time.nowMs)
    const takenAtMs = memory.transactions.takenId(key)?.takenAtMs
    return fromMs !== null && takenAtMs !== undefined && takenAtMs < fromMs && !memory.holds.has(key)
  }

  private forget(key: string): void {
    this.ids.forget(key)
    this.holds.forget(key)
    this.labels.forget(key)
    for (const { posting } of this.memory.transactions.parent(key, this.memory)?.postings ?? []) {
      this.reversals.forget(`${key}/${posting}`)
    }
  }
}

const EMPTY_PROFILE = encodeProfile(newProfile()).toString('hex')
