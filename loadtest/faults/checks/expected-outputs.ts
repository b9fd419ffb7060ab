/** What must have left through Kafka, by the rows of Postgres; and what was found of it. */
import { createHash } from 'node:crypto'
import type { StoredBatch, StoredDeadLetter, StoredPosting, StoredTransaction } from './stored-ledger.ts'

/** Places in ledger order as one number: a sequence holds fewer places than this. */
const PLACES_PER_SEQUENCE = 1_048_576
const ENTRIES_PER_PLACE = 256

export const placeOf = (sequence: bigint, index: number): number =>
  Number(sequence) * PLACES_PER_SEQUENCE + index

/** Place of an entry: exact up to sequence 2^25. */
export const entryPlaceOf = (sequence: bigint, index: number, entry: number): number =>
  placeOf(sequence, index) * ENTRIES_PER_PLACE + entry

/** A state of something that a compacted topic tells of: as of which batch, and how it looks. */
export interface ExpectedState {
  readonly sequence: bigint
  readonly state: string
}

/** A text that was put together holds on to its parts, several times its size; of millions that counts. */
const flat = (text: string): string => Buffer.from(text).toString()

export class ExpectedOutputs {
  readonly decisions = new Map<number, string>()
  readonly entries = new Map<number, string>()
  readonly deadLetters = new Map<number, string>()
  readonly alerts = new Map<number, string>()
  /** By `topic:partition:offset` of the record that was refused. */
  readonly notifications = new Map<string, string>()
  /** By sequence. */
  readonly batches = new Map<number, string>()
  /** By account (at the end of a batch) and by rule (after each change): each state that it went through. */
  readonly accounts = new Map<string, ExpectedState[]>()
  readonly rules = new Map<string, ExpectedState[]>()

  addDecision(
    transaction: Pick<StoredTransaction, 'sequence' | 'index' | 'id' | 'status' | 'partition' | 'offset'>,
  ): void {
    this.decisions.set(placeOf(transaction.sequence, transaction.index), flat(describeDecision(transaction)))
  }

  addPosting({ sequence, index, posting, ...of }: StoredPosting): void {
    const at = (side: number) => entryPlaceOf(sequence, index, posting * 2 + side)
    this.entries.set(at(0), flat(describeEntry(of.debit, -of.amount, of.debitPosted)))
    this.entries.set(at(1), flat(describeEntry(of.credit, of.amount, of.creditPosted)))
  }

  addAlert({ sequence, index }: Pick<StoredTransaction, 'sequence' | 'index'>, alert: AlertOf): void {
    this.alerts.set(placeOf(sequence, index), describeAlert(alert))
  }

  addNotification(notification: NotificationOf): void {
    const { topic, partition, offset } = notification
    this.notifications.set(`${topic}:${partition}:${offset}`, describeNotification(notification))
  }

  addBatch(batch: StoredBatch): void {
    this.batches.set(Number(batch.sequence), describeBatch({ ...batch, recordedAt: batch.recordedAtMs }))
  }

  /** In the order of their changes. */
  addState(of: 'accounts' | 'rules', id: string, added: ExpectedState): void {
    const states = this[of].get(id)
    if (states === undefined) this[of].set(id, [added])
    else states.push(added)
  }

  addDeadLetter({ sequence, index, topic, partition, offset, reason }: StoredDeadLetter): void {
    this.deadLetters.set(placeOf(sequence, index), `${topic}:${partition}:${offset} ${reason}`)
  }
}

export const describeDecision = (t: {
  id: string
  status: string
  partition: number
  offset: bigint
}): string => `${t.id} ${t.status} ${t.partition}:${t.offset}`

export const describeEntry = (account: string, change: bigint, after: bigint): string =>
  `${account} ${change} = ${after}`

interface AlertOf {
  readonly kind: string
  readonly action: string
  readonly account: string | null
  /** As `describeHit` has them. */
  readonly hits: readonly string[]
}

export const describeAlert = ({ kind, action, account, hits }: AlertOf): string =>
  `${kind} ${action} ${account}: ${hits.join(', ')}`

interface NotificationOf {
  readonly sequence: bigint
  readonly kind: string
  readonly subject: string
  readonly reason: string
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
}

export const describeNotification = ({ sequence, kind, subject, reason }: NotificationOf): string =>
  `${kind} ${subject} ${reason} in ${sequence}`

export const describeBatch = (of: {
  readonly previousHash: Buffer
  readonly hash: Buffer
  readonly header: Buffer
  readonly format: number
  readonly records: number
  readonly recordedAt: bigint
}): string => {
  const header = createHash('sha256').update(of.header).digest('base64')
  const { previousHash, hash } = of
  return `${previousHash.toString('base64')} ${hash.toString('base64')} ${header} ${of.format} ${of.records} ${of.recordedAt}`
}

/** An account as `accounts.current` tells of it. */
export const describeAccount = (of: {
  readonly currency: string
  readonly accountClass: string
  readonly normalSide: string
  readonly status: string
  readonly limited: boolean
  readonly overdraftLimit: bigint
  readonly reversalMayOverdraw: boolean
}): string =>
  `${of.currency} ${of.accountClass} ${of.normalSide} ${of.status} ${of.limited ? of.overdraftLimit : 'no limit'} ${of.reversalMayOverdraw}`

/** A rule as `rules.current` tells of it. */
export const describeRule = (of: {
  readonly currency: string | null
  readonly threshold: bigint
  readonly action: string
  readonly enabled: boolean
}): string => `${of.action} above ${of.threshold} ${of.currency}, ${of.enabled ? 'on' : 'off'}`
