/** The flat ledger entries of a decision: one a side, for warehouses. Made from the stored output alone. */
import type { OutputMessage } from '#platform/kafka/fenced-producer.ts'

/** The fields of TransactionProcessed (schemas/avro) that entries are made of. */
export interface ProcessedValue {
  readonly sequence: bigint
  readonly index: number
  readonly id: string
  readonly source: string
  readonly kind: string
  readonly status: string
  readonly recordedAt: bigint
  readonly valueTime: bigint
  readonly endToEndId: string | null
  readonly uetr: string | null
  readonly postings: readonly {
    readonly debit: string
    readonly credit: string
    readonly amount: bigint
    readonly currency: string
    readonly debitPosted: bigint
    readonly creditPosted: bigint
  }[]
}

/** Entries of one decision; none unless it moved money. */
export const entriesOfProcessed = (
  processed: ProcessedValue,
  encode: (entry: unknown) => Buffer,
): OutputMessage[] => {
  if (processed.status !== 'applied') return []
  const messages: OutputMessage[] = []
  const { sequence, index } = processed
  for (let place = 0; place < processed.postings.length; place += 1) {
    const posting = processed.postings[place]!
    const shared = {
      sequence,
      index,
      transactionId: processed.id,
      source: processed.source,
      kind: processed.kind,
      amount: posting.amount,
      currency: posting.currency,
      recordedAt: processed.recordedAt,
      valueTime: processed.valueTime,
      endToEndId: processed.endToEndId,
      uetr: processed.uetr,
    }
    const debit = place * 2
    messages.push({
      key: `${sequence}.${index}.${debit}`,
      value: encode({
        ...shared,
        entry: debit,
        account: posting.debit,
        side: 'debit',
        postedAfter: posting.debitPosted,
        counterparty: posting.credit,
      }),
    })
    messages.push({
      key: `${sequence}.${index}.${debit + 1}`,
      value: encode({
        ...shared,
        entry: debit + 1,
        account: posting.credit,
        side: 'credit',
        postedAfter: posting.creditPosted,
        counterparty: posting.debit,
      }),
    })
  }
  return messages
}
