/** The key of a transaction, as documented in domain/transactions/canonical.ts. */
import { createHash } from 'node:crypto'

const lengthPrefixed = (text: string): Buffer => {
  const bytes = Buffer.from(text, 'utf8')
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

export const keyOf = (source: string, id: string): string =>
  createHash('sha256')
    .update(lengthPrefixed(source))
    .update(lengthPrefixed(id))
    .digest()
    .toString('hex', 0, 16)
