/** Is Postgres what must have become of the stream? Nothing lost, nothing twice, money kept, history without a gap. */
import { createHash } from 'node:crypto'
import { zstdDecompressSync } from 'node:zlib'
import type { Findings } from '../findings.ts'
import type { SentTransaction } from '../load.ts'
import type { StoredBatch, StoredLedger } from './stored-ledger.ts'

/** Every record that was sent is decided once, as what it had to become, and nothing else is. */
export const checkDecisions = (
  findings: Findings,
  sent: readonly SentTransaction[],
  stored: StoredLedger,
): void => {
  const byPlace = new Map<string, number>()
  const firsts = new Map<string, string[]>()
  for (const { partition, offset, cause, status, id } of stored.transactions) {
    if (cause !== 'transaction') continue
    const place = `${partition}:${offset}`
    byPlace.set(place, (byPlace.get(place) ?? 0) + 1)
    if (status === 'duplicate') continue
    const statuses = firsts.get(id)
    if (statuses === undefined) firsts.set(id, [status])
    else statuses.push(status)
  }
  for (const { id, outcome, positions } of sent) {
    for (const { partition, offset } of positions) {
      const place = `${partition}:${offset}`
      findings.same('every record sent has one decision', `${id} at ${place}`, 1, byPlace.get(place) ?? 0)
      byPlace.delete(place)
    }
    findings.same('every id took effect once', id, outcome, firsts.get(id)?.join('+') ?? 'nothing')
    firsts.delete(id)
  }
  findings.same('nothing is decided that was not sent', 'places', 0, byPlace.size)
  findings.same('nothing is decided that was not sent', 'ids', 0, firsts.size)
}

/** What each account must hold by what was sent alone: accounts have no limits, so the order doesn't matter. */
export const expectedBalances = (sent: readonly SentTransaction[]): Map<string, bigint> => {
  const balances = new Map<string, bigint>()
  for (const { outcome, postings } of sent) {
    if (outcome !== 'applied') continue
    for (const { debit, credit, amount } of postings) {
      balances.set(debit, (balances.get(debit) ?? 0n) - amount)
      balances.set(credit, (balances.get(credit) ?? 0n) + amount)
    }
  }
  return balances
}

/** Balances three ways: by what was sent, by folding the postings one by one, and as stored. */
export const checkBalances = (
  findings: Findings,
  sent: readonly SentTransaction[],
  stored: StoredLedger,
): void => {
  const fold = new Map<string, bigint>()
  const advance = (account: string, change: bigint, after: bigint, name: string): void => {
    const balance = (fold.get(account) ?? 0n) + change
    fold.set(account, balance)
    findings.same('every posting continues the balance before it', `${account} at ${name}`, balance, after)
  }
  for (const posting of stored.postings) {
    const name = `${posting.sequence}.${posting.index}.${posting.posting}`
    advance(posting.debit, -posting.amount, posting.debitPosted, name)
    advance(posting.credit, posting.amount, posting.creditPosted, name)
  }
  const expected = expectedBalances(sent)
  let sum = 0n
  for (const { id, posted, reserved } of stored.accounts) {
    findings.same('balance = what was sent', id, expected.get(id) ?? 0n, posted)
    findings.same('balance = fold of the postings', id, fold.get(id) ?? 0n, posted)
    findings.same('nothing is reserved', id, 0n, reserved)
    sum += posted
  }
  findings.same('all balances sum to zero', 'sum', 0n, sum)
  const sentPostings = sent.filter((t) => t.outcome === 'applied').reduce((n, t) => n + t.postings.length, 0)
  findings.same('as many postings as were sent', 'postings', sentPostings, stored.postings.length)
}

interface Header {
  sequence: string
  sources: { topic: string; partition: number; from: string; next: string }[]
}

/** Batches chain by number and hash from the genesis to the head, and read each partition from its start without a gap. */
export const checkChain = async (
  findings: Findings,
  options: {
    readonly genesisHash: Buffer
    readonly batches: AsyncIterable<StoredBatch>
    readonly stored: StoredLedger
  },
): Promise<void> => {
  let sequence = 0n
  let hash = options.genesisHash
  const positions = new Map<string, bigint>()
  for await (const batch of options.batches) {
    const name = `batch ${batch.sequence}`
    findings.same('batches follow each other', name, sequence + 1n, batch.sequence)
    findings.same('batches chain by hash', name, hash.toString('hex'), batch.previousHash.toString('hex'))
    findings.same('batches have their hash', name, hashOf(batch), batch.hash.toString('hex'))
    sequence = batch.sequence
    hash = batch.hash
    const header = JSON.parse(batch.header.toString('utf8')) as Header
    for (const { topic, partition, from, next } of header.sources) {
      const place = `${topic}:${partition}`
      findings.same(
        'every partition is read without a gap',
        `${name}, ${place}`,
        positions.get(place) ?? 0n,
        BigInt(from),
      )
      positions.set(place, BigInt(next))
    }
  }
  const { head } = options.stored
  findings.same('the head is the last batch', 'sequence', sequence, head.sequence)
  findings.same('the head is the last batch', 'hash', hash.toString('hex'), head.hash.toString('hex'))
  for (const [place, next] of options.stored.positions) {
    findings.same('positions are where the batches end', place, positions.get(place) ?? 0n, next)
  }
}

/** SHA-256 of previous hash, length of the header (4 bytes, big-endian), header, payload uncompressed: batch record, format 1. */
const hashOf = ({ previousHash, header, payload }: StoredBatch): string => {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(header.length)
  return createHash('sha256')
    .update(Buffer.concat([previousHash, length, header, zstdDecompressSync(payload)]))
    .digest('hex')
}

/** The log is read to its end. @param ends by `topic:partition`, as the producer was told */
export const checkPositions = (
  findings: Findings,
  ends: ReadonlyMap<string, bigint>,
  stored: StoredLedger,
): void => {
  for (const [place, end] of ends) {
    findings.same('every partition is read to its end', place, end, stored.positions.get(place))
  }
}
