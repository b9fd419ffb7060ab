/** Reads a batch record's payload by its documented format (domain/ledger/batch-record.ts), without the engine's code. */

export interface Frame {
  readonly code: number
  readonly key: Buffer
  readonly value: Buffer
}

/** Topics by frame code; format 1. */
export const TOPIC_OF_CODE = [
  'transactions.processed',
  'balances',
  'accounts.current',
  'rules.current',
  'fraud.alerts',
  'notifications',
  'transactions.dlq',
]

export const framesOf = (payload: Buffer): Frame[] => {
  const frames: Frame[] = []
  for (let at = 0; at < payload.length; ) {
    const keyEnd = at + 3 + payload.readUInt16BE(at + 1)
    const end = keyEnd + 4 + payload.readUInt32BE(keyEnd)
    frames.push({
      code: payload[at]!,
      key: payload.subarray(at + 3, keyEnd),
      value: payload.subarray(keyEnd + 4, end),
    })
    at = end
  }
  return frames
}
