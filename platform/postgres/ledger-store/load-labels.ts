/** Reads what labels of a batch are about: payments as they were decided, and what is known of them so far. */
import { type PartyName, partyNameOf } from '#domain/fraud/parties.ts'
import type { LabelledPayment, LabelTarget } from '#domain/ledger/state.ts'
import { uuidArray } from '../binary-arrays.ts'
import type { Statements } from './store.ts'

interface LabelRow {
  key: string
  taken_ms: string
  /** Null and all that follows: no rule looked at labels then, or the row's partition is gone. */
  payer: string | null
  payer_no: string | null
  acceptor: string | null
  at_ms: string | null
  was_unusual: boolean | null
  is_fraud: boolean | null
}

const READ_LABEL_TARGETS = `select i.key, (extract(epoch from i.recorded_at) * 1000)::bigint as taken_ms,
    a.account_id as payer, a.account_no as payer_no, t.acceptor, (extract(epoch from t.occurred_at) * 1000)::bigint as at_ms,
    t.was_unusual, l.is_fraud
  from transaction_ids i
  left join transactions t on t.sequence = i.sequence and t.index = i.index and t.recorded_at = i.recorded_at
  left join accounts a on a.account_no = t.payer_no
  left join fraud_labels l on l.key = i.key
  where i.key = any($1::uuid[])`

/** By key; transactions that there are none of aren't in it. */
export const readLabelTargets = async (
  session: Statements,
  keys: ReadonlySet<string>,
): Promise<Map<string, LabelTarget>> => {
  if (keys.size === 0) return new Map()
  const { rows } = await session.query<LabelRow>('read-label-targets', READ_LABEL_TARGETS, [
    uuidArray([...keys]),
  ])
  return new Map(
    rows.map((row) => [
      row.key.replaceAll('-', ''),
      { takenAt: Number(row.taken_ms), payment: paymentOf(row), isFraud: row.is_fraud },
    ]),
  )
}

const paymentOf = ({ payer, payer_no, acceptor, at_ms, was_unusual }: LabelRow): LabelledPayment | null =>
  payer === null || payer_no === null || was_unusual === null
    ? null
    : { payer, payerNo: Number(payer_no), acceptor, at: Number(at_ms), wasUnusual: was_unusual }

/** The parties of a batch with those that its labels are about. */
export const withAcceptors = (
  names: ReadonlyMap<string, PartyName>,
  payments: readonly LabelledPayment[],
): ReadonlyMap<string, PartyName> => {
  if (payments.length === 0) return names
  const all = new Map(names)
  for (const { acceptor } of payments) if (acceptor !== null) all.set(acceptor, partyNameOf(acceptor))
  return all
}
