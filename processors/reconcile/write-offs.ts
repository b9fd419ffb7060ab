/**
 * Write-offs through the ledger: their transactions go to the topic `transactions` like everybody else's, and what the ledger decided
 * about them comes back with its batches. Sending one again is harmless: the same id and content is a duplicate.
 */
import type { PendingWriteOff, PostingOutcome } from '#domain/reconciliation/pair-state.ts'
import { WRITE_OFF_SOURCE, writeOffCommand } from '#domain/reconciliation/write-off.ts'
import { contentHash, transactionKey } from '#domain/transactions/canonical.ts'
import type { TransactionCommand } from '#domain/transactions/command.ts'
import type { LedgerPosting } from '#platform/postgres/reconciliation/ledger-postings.ts'
import type { WriteOffDecision } from '#platform/postgres/reconciliation/write-off-decisions.ts'
import { itemsOfPosting } from './ledger-items.ts'

export interface WriteOffsOptions {
  /** Resolves once the brokers have them. @throws OperatingError */
  readonly publish: (commands: readonly TransactionCommand[]) => Promise<void>
  /** What the ledger decided up to a batch, newest last. */
  readonly readDecisions: (keys: readonly string[], upTo: bigint) => Promise<WriteOffDecision[]>
}

/** Decisions after which nothing more comes: `held` waits for a review, and a duplicate is of another record. */
const REFUSED = new Set(['rejected', 'declined', 'expired', 'voided'])

export class WriteOffs {
  readonly #options: WriteOffsOptions

  constructor(options: WriteOffsOptions) {
    this.#options = options
  }

  /** Publishes their transactions. @throws OperatingError: some may have been sent */
  async send(pair: string, writeOffs: readonly PendingWriteOff[]): Promise<void> {
    await this.#options.publish(writeOffs.map((one) => commandOf(pair, one)))
  }

  /**
   * What became of them in a stretch of the ledger.
   * @param stretch its end, and its postings: an applied write-off is among them
   */
  async outcomes(
    pair: string,
    writeOffs: readonly PendingWriteOff[],
    stretch: {
      readonly upTo: bigint
      readonly postings: readonly LedgerPosting[]
      readonly accounts: ReadonlySet<string>
    },
  ): Promise<PostingOutcome[]> {
    const byKey = new Map(
      writeOffs.map((one) => [transactionKey(WRITE_OFF_SOURCE, one.writeOff.transactionId), one]),
    )
    const decisions = await this.#options.readDecisions([...byKey.keys()], stretch.upTo)
    return decisions.flatMap(({ key, content, status, reason }): PostingOutcome[] => {
      const one = byKey.get(key)!
      const { transactionId } = one.writeOff
      if (content !== contentHash(commandOf(pair, one))) {
        return [{ transactionId, outcome: { refused: 'id_conflict' } }]
      }
      if (REFUSED.has(status)) return [{ transactionId, outcome: { refused: reason ?? status } }]
      if (status !== 'applied') return []
      const entries = stretch.postings
        .filter((posting) => posting.source === WRITE_OFF_SOURCE && posting.transactionId === transactionId)
        .flatMap((posting) => itemsOfPosting(posting, stretch.accounts))
        .map(({ id }) => id)
      return [{ transactionId, outcome: { entries } }]
    })
  }
}

const commandOf = (pair: string, { writeOff, maker, checker, reason }: PendingWriteOff) =>
  writeOffCommand(writeOff, { pair, maker, checker, reason })
