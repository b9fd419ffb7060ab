/**
 * Watches every commit of the simulated Postgres: each batch must be the next in sequence and chain, decide the next records of
 * its partitions and come to what the model comes to. Nothing else may touch the ledger.
 */
import { createHash } from 'node:crypto'
import { zstdDecompressSync } from 'node:zlib'
import { CAUSES, REASONS, STATUSES } from '#domain/transactions/outcomes.ts'
import type {
  AccountRow,
  BatchRow,
  HeadRow,
  OffsetRow,
  PostingRow,
  Tables,
  TransactionRow,
  Write,
} from '../postgres/tables.ts'
import { offsetKey } from '../postgres/tables.ts'
import { type Frame, framesOf } from './frames.ts'
import { IngestedRecords } from './ingested.ts'
import type { Intent } from './intents.ts'
import { type Expected, LedgerModel } from './model.ts'
import { checkLabels } from './rulebook-model.ts'
import { must } from './violation.ts'

interface Header {
  readonly sequence: string
  readonly tick: number
  readonly rules: string
  readonly sources: readonly {
    readonly topic: string
    readonly partition: number
    readonly from: string
    readonly next: string
    readonly epoch: string
  }[]
  readonly order: readonly (readonly [number, number])[]
  readonly skips: readonly (readonly [number, string])[]
}

/** A batch that was committed, as the oracle knows it. */
export interface KnownBatch {
  readonly sequence: bigint
  readonly hash: Buffer
  readonly frames: readonly Frame[]
  /** How many records and stretches were decided when it was over. */
  readonly steps: number
}

interface Step {
  readonly name: string
  readonly next: bigint
  readonly intent: Intent | null
  readonly sequence: bigint
}

/** Every balance that an account had, by the batch that made it. */
export interface BalanceAt {
  readonly sequence: bigint
  readonly posted: bigint
  readonly reserved: bigint
}

export class CommitChecks {
  model: LedgerModel
  readonly batches: KnownBatch[] = []
  readonly balances = new Map<string, BalanceAt[]>()
  sequence = 0n
  decided = 0
  private hash: Buffer
  private rulesSequence = 0n
  private steps: Step[] = []
  private readonly genesis: { readonly nowMs: number; readonly hash: Buffer }
  readonly ingested: IngestedRecords
  private readonly begun = new Map<string, bigint>()
  /** Partitions whose log isn't the one that was read, or has lost what wasn't: nobody may read on there. */
  readonly stopped = new Set<string>()

  constructor(options: { nowMs: number; hash: Buffer; topicPrefix: string }) {
    this.genesis = options
    this.hash = options.hash
    this.model = new LedgerModel(options.nowMs)
    this.ingested = new IngestedRecords(options.topicPrefix, (name) => this.model.position(name))
  }

  committed(writes: readonly Write[], tables: Tables): void {
    const batches = writes.filter((write) => write.table === 'batches')
    if (batches.length === 0) this.checkOther(writes, tables)
    else
      this.checkBatch(
        batches.map((write) => write.row as BatchRow),
        writes,
        tables,
      )
  }

  /** The database is what it was at an earlier moment. @param rulesVersion where rules were last changed then */
  restored(sequence: bigint, rulesVersion: bigint): void {
    this.rulesSequence = rulesVersion
    this.batches.length = Number(sequence)
    const last = this.batches.at(-1)
    const steps = this.steps.slice(0, last?.steps ?? 0)
    this.model = new LedgerModel(this.genesis.nowMs)
    for (const [name, offset] of this.begun) this.model.begin(name, offset)
    for (const { name, next, intent, sequence: decidedIn } of steps) {
      this.model.sequence = decidedIn
      this.model.decide(name, next, intent)
    }
    this.model.touched.clear()
    this.model.rulesChanged = false
    this.steps = steps
    this.hash = last?.hash ?? this.genesis.hash
    this.sequence = sequence
    for (const [account, list] of this.balances) {
      this.balances.set(
        account,
        list.filter((each) => each.sequence <= sequence),
      )
    }
  }

  /** Claims, leases and notes: they must leave the ledger alone. */
  private checkOther(writes: readonly Write[], tables: Tables): void {
    for (const { table, key, row } of writes) {
      must(
        table === 'offsets' || table === 'leases' || table === 'progress',
        'no commit without a batch record',
        () => `wrote ${table} ${key}`,
      )
      if (table === 'progress') {
        const before = tables.progress.get(key) ?? 0n
        must(
          (row as bigint) >= before,
          'what was noted as published never falls',
          () => `${before} → ${String(row)}`,
        )
      }
      if (table !== 'offsets') continue
      const after = row as OffsetRow
      const before = tables.offsets.get(key)
      if (before === undefined) {
        const name = `${after.topic}:${after.partition}`
        this.begun.set(name, after.nextOffset)
        this.model.begin(name, after.nextOffset)
        continue
      }
      must(after.nextOffset === before.nextOffset, 'offsets move with a batch only', () => key)
      const isTaken = after.ownerPid !== null && after.ownerPid !== before.ownerPid
      must(
        after.epoch === before.epoch + (isTaken ? 1n : 0n) ||
          (!isTaken && after.epoch === before.epoch) ||
          after.epoch === before.epoch + 1n,
        'taking a partition raises its epoch',
        () => `${key}: ${before.epoch} → ${after.epoch}`,
      )
      if (isTaken)
        must(
          after.epoch > before.epoch,
          'taking a partition raises its epoch',
          () => `${key}: ${before.epoch} → ${after.epoch}`,
        )
    }
  }

  private checkBatch(rows: readonly BatchRow[], writes: readonly Write[], tables: Tables): void {
    must(rows.length === 1, 'one batch a commit', () => String(rows.length))
    const batch = rows[0]!
    const payload = zstdDecompressSync(batch.payload)
    this.checkChain(batch, payload, writes, tables)
    const header = JSON.parse(batch.header.toString('utf8')) as Header
    const places = this.checkSources(header, writes, tables)
    const expected = this.decideAll(header, places)
    this.checkDecisions(expected, writes)
    this.checkMoney(expected, writes, tables)
    must(
      header.tick === this.model.nowMs,
      'time passes when all before it was read',
      () => `batch ${batch.sequence} says ${header.tick}, expected ${this.model.nowMs}`,
    )
    if (this.model.rulesChanged) this.rulesSequence = batch.sequence
    this.model.rulesChanged = false
    must(
      header.rules === String(this.rulesSequence),
      'the rules in force are named',
      () => `batch ${batch.sequence}: ${header.rules}, expected ${this.rulesSequence}`,
    )
    this.sequence = batch.sequence
    this.hash = batch.hash
    this.batches.push({
      sequence: batch.sequence,
      hash: batch.hash,
      frames: framesOf(payload),
      steps: this.steps.length,
    })
  }

  private checkChain(batch: BatchRow, payload: Buffer, writes: readonly Write[], tables: Tables): void {
    must(
      batch.sequence === this.sequence + 1n,
      'sequences have no gap and no repetition',
      () => `batch ${batch.sequence} after ${this.sequence}`,
    )
    must(
      !tables.batches.has(String(batch.sequence)),
      'sequences have no gap and no repetition',
      () => `batch ${batch.sequence} is there already`,
    )
    must(batch.previousHash.equals(this.hash), 'batches are chained', () => `batch ${batch.sequence}`)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(batch.header.length)
    const hash = createHash('sha256')
      .update(this.hash)
      .update(length)
      .update(batch.header)
      .update(payload)
      .digest()
    must(hash.equals(batch.hash), 'batches are chained', () => `hash of batch ${batch.sequence}`)
    const head = writes.find((write) => write.table === 'head')?.row as HeadRow | undefined
    must(
      head?.sequence === batch.sequence && head.hash.equals(batch.hash),
      'the head is the last batch',
      () => `batch ${batch.sequence}, head ${head?.sequence}`,
    )
  }

  /** @returns where each source is read on */
  private checkSources(header: Header, writes: readonly Write[], tables: Tables): string[] {
    const advanced = writes.filter((write) => write.table === 'offsets')
    must(
      advanced.length === header.sources.length,
      'every source moves its offset',
      () => `${advanced.length} offsets, ${header.sources.length} sources`,
    )
    return header.sources.map((source) => {
      const name = `${source.topic}:${source.partition}`
      const key = offsetKey('local', source.topic, source.partition)
      const before = tables.offsets.get(key)
      const after = advanced.find((write) => write.key === key)?.row as OffsetRow | undefined
      const position = this.model.position(name)
      must(!this.stopped.has(name), 'nobody reads on where the log is another one', () => name)
      must(
        String(position) === source.from,
        'records are read without a gap',
        () => `${name}: batch ${header.sequence} reads from ${source.from}, applied up to ${position}`,
      )
      must(
        before?.nextOffset === position,
        'offsets and batches agree',
        () => `${name}: offset ${before?.nextOffset}, applied up to ${position}`,
      )
      must(
        String(before?.epoch) === source.epoch,
        'no commit under an old epoch',
        () => `${name}: batch ${header.sequence} under ${source.epoch}, now ${before?.epoch}`,
      )
      must(
        String(after?.nextOffset) === source.next && after!.nextOffset > before!.nextOffset,
        'offsets only go forward',
        () => `${name}: ${before?.nextOffset} → ${after?.nextOffset}, batch says ${source.next}`,
      )
      return name
    })
  }

  /** Goes through the batch's inputs in its order; each must be the partition's next visible record. */
  private decideAll(header: Header, places: readonly string[]): Expected[] {
    const expected: Expected[] = []
    const skips = places.map((_, place) =>
      header.skips.filter(([source]) => source === place).map(([, offset]) => BigInt(offset)),
    )
    for (const [place, count] of header.order) {
      const name = places[place]!
      for (let taken = 0; taken < count; taken += 1) {
        const position = this.model.position(name)
        const record = this.ingested.nextVisible(name, position)
        const skip = skips[place]![0]
        if (skip !== undefined && (record === undefined || skip < record.offset)) {
          skips[place]!.shift()
          this.decideOne(expected, name, skip + 1n, null)
          continue
        }
        must(
          record !== undefined,
          'only records that are there are decided',
          () => `${name} at ${position}, batch ${header.sequence}`,
        )
        this.decideOne(expected, name, record!.offset + 1n, record!.meaning as Intent)
        this.decided += 1
      }
    }
    for (const [place, name] of places.entries()) {
      const next = this.model.position(name)
      must(
        String(next) === header.sources[place]!.next,
        'every record is decided once, in order',
        () =>
          `${name}: batch ${header.sequence} ends at ${header.sources[place]!.next}, its records at ${next}`,
      )
    }
    return expected
  }

  private decideOne(expected: Expected[], name: string, next: bigint, intent: Intent | null): void {
    const sequence = this.sequence + 1n
    this.steps.push({ name, next, intent, sequence })
    this.model.sequence = sequence
    expected.push(...this.model.decide(name, next, intent))
  }

  private checkDecisions(expected: readonly Expected[], writes: readonly Write[]): void {
    const rows = writes
      .filter((write) => write.table === 'transactions')
      .map((write) => write.row as TransactionRow)
      .sort((a, b) => a.index - b.index)
    const text = (list: readonly Expected[] | readonly TransactionRow[]): string =>
      JSON.stringify(list, (_name, value: unknown) => (typeof value === 'bigint' ? String(value) : value))
    must(
      rows.length === expected.length,
      'one decision for each record',
      () => `expected ${text(expected)}, found ${text(rows)}`,
    )
    for (const [place, row] of rows.entries()) {
      const wanted = expected[place]!
      const found = {
        id: row.id,
        cause: CAUSES[row.cause],
        status: STATUSES[row.status],
        reason: row.reason === null ? null : REASONS[row.reason],
      }
      const isSame =
        found.id === wanted.id &&
        found.cause === wanted.cause &&
        found.status === wanted.status &&
        found.reason === wanted.reason
      must(
        isSame,
        "decisions are the model's",
        () =>
          `expected ${text([wanted])}, found ${JSON.stringify(found)} at ${row.topic}:${row.partition}:${row.offset}`,
      )
    }
  }

  private checkMoney(expected: readonly Expected[], writes: readonly Write[], tables: Tables): void {
    const moved = expected.flatMap((each) => each.moved)
    const postings = writes.filter((w) => w.table === 'postings').map((w) => w.row as PostingRow)
    must(
      postings.length === moved.length,
      "postings are the model's",
      () => `${postings.length}, expected ${moved.length}`,
    )
    const accounts = new Map<string, AccountRow>()
    let sum = 0n
    for (const { table, key, row } of writes) if (table === 'accounts') accounts.set(key, row as AccountRow)
    const idOf = (no: bigint): string | undefined =>
      tables.accountIdByNo.get(String(no)) ??
      (writes.find((w) => w.table === 'accountIdByNo' && w.key === String(no))?.row as string | undefined)
    for (const [place, posting] of postings.entries()) {
      const wanted = moved[place]!
      const isSame =
        posting.amount === wanted.amount &&
        idOf(posting.debitNo) === wanted.debit &&
        idOf(posting.creditNo) === wanted.credit
      must(
        isSame,
        "postings are the model's",
        () => `posting ${posting.sequence}.${posting.index}.${posting.posting}`,
      )
    }
    for (const id of this.model.touched) {
      const wanted = this.model.accounts.get(id)!
      const row = accounts.get(id)
      const isSame = row?.posted === wanted.posted && row.reserved === wanted.reserved
      must(
        isSame,
        'balances are the sum of their entries',
        () => `${id}: ${row?.posted}/${row?.reserved}, expected ${wanted.posted}/${wanted.reserved}`,
      )
      checkLabels(id, row!.profile, this.model.book.toldOf(id))
      const available = row!.posted - row!.reserved + row!.overdraftLimit
      must(
        !row!.limited || wanted.wasLowered || available >= 0n,
        'no limit is broken',
        () => `${id}: ${available}`,
      )
      sum += row!.posted - (tables.accounts.get(id)?.posted ?? 0n)
      const history = this.balances.get(id) ?? []
      history.push({ sequence: this.sequence + 1n, posted: row!.posted, reserved: row!.reserved })
      this.balances.set(id, history)
    }
    must(
      accounts.size === this.model.touched.size,
      'only accounts that were touched change',
      () => `${[...accounts.keys()].join(' ')}, expected ${[...this.model.touched].join(' ')}`,
    )
    must(sum === 0n, 'balances sum to zero', () => String(sum))
    this.model.touched.clear()
  }
}
