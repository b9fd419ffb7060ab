/** What must have left through Kafka, by the rows of Postgres; and what was found of it. */
import type { StoredDeadLetter, StoredPosting, StoredTransaction } from './stored-ledger.ts'

/** Places in ledger order as one number: a sequence holds fewer places than this. */
const PLACES_PER_SEQUENCE = 1_048_576
const ENTRIES_PER_PLACE = 256

export const placeOf = (sequence: bigint, index: number): number =>
  Number(sequence) * PLACES_PER_SEQUENCE + index

/** Place of an entry: exact up to sequence 2^25. */
export const entryPlaceOf = (sequence: bigint, index: number, entry: number): number =>
  placeOf(sequence, index) * ENTRIES_PER_PLACE + entry

export class ExpectedOutputs {
  readonly decisions = new Map<number, string>()
  readonly entries = new Map<number, string>()
  readonly deadLetters = new Map<number, string>()

  addDecision(
    transaction: Pick<StoredTransaction, 'sequence' | 'index' | 'id' | 'status' | 'partition' | 'offset'>,
  ): void {
    this.decisions.set(placeOf(transaction.sequence, transaction.index), describeDecision(transaction))
  }

  addPosting({ sequence, index, posting, ...of }: StoredPosting): void {
    const at = (side: number) => entryPlaceOf(sequence, index, posting * 2 + side)
    this.entries.set(at(0), describeEntry(of.debit, -of.amount, of.debitPosted))
    this.entries.set(at(1), describeEntry(of.credit, of.amount, of.creditPosted))
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
