/** Takes a transaction in: refuses repetitions with other content, opens accounts where allowed, publishes, and waits. */
import type { ApiDependencies } from '#api/dependencies.ts'
import { AccountOpener } from '#api/gateway/account-opener.ts'
import type { RecentlyPublished } from '#api/gateway/recently-published.ts'
import { Problem, problemOf } from '#api/problem.ts'
import {
  isOtherContent,
  isSameContent,
  type TransactionRequest,
} from '#api/routes/transactions/transaction-request.ts'
import { readKnownAccounts } from '#platform/postgres/queries/read-account-ids.ts'
import { readDroppedId } from '#platform/postgres/queries/read-dropped-id.ts'
import { readOutcomes, type StoredOutcome } from '#platform/postgres/queries/read-outcomes.ts'

export class TransactionGateway {
  readonly #dependencies: ApiDependencies
  readonly #recent: RecentlyPublished
  readonly #opener: AccountOpener | undefined

  constructor(dependencies: ApiDependencies, recent: RecentlyPublished) {
    const { gateway, positions, options, pool } = dependencies
    this.#dependencies = dependencies
    this.#recent = recent
    this.#opener = options.openAccounts
      ? new AccountOpener({
          gateway,
          positions,
          readKnownAccounts: (ids) => readKnownAccounts(pool, ids),
          sourceAccount: options.compatibilitySourceAccount,
          timeoutMs: options.defaultWaitMs,
        })
      : undefined
  }

  /**
   * Publishes a transaction unless it is there already.
   *
   * @param waitMs How long to wait for the outcome; 0 = not at all.
   * @returns the outcome, or undefined where it isn't known (yet).
   * @throws Problem `id_conflict` (409), `period_dropped` (410: the id was taken so long ago), `too_many_waiters` (503, nothing was published); what publishing throws, as a problem
   *   that names the id with which to try again.
   */
  async submit(request: TransactionRequest, waitMs: number): Promise<StoredOutcome | undefined> {
    const { outcomes, metrics } = this.#dependencies
    if (waitMs > 0 && outcomes.isFull) {
      metrics.waits.inc({ result: 'refused' })
      throw new Problem(503, 'too_many_waiters', 'Too many requests wait already; nothing was published.', {
        headers: { 'retry-after': '1' },
      })
    }
    const earlier = request.idGiven ? await this.#earlier(request) : undefined
    if (earlier !== undefined) return await this.#answered(request, earlier)
    await this.#publish(request)
    if (waitMs === 0) return undefined
    const outcome = await this.#wait(request.key, waitMs)
    return outcome === undefined ? undefined : await this.#answered(request, outcome)
  }

  /** The outcome of the same id, if it was decided before: a repetition then needs no record of its own. */
  async #earlier(request: TransactionRequest): Promise<StoredOutcome | undefined> {
    const { pool } = this.#dependencies
    const [outcome] = await readOutcomes(pool, [request.key])
    if (outcome === undefined) await this.#expectNotDropped(request)
    return outcome
  }

  /** What was decided in a dropped period has no outcome to be waited for: the engine would find a duplicate, the client nothing. */
  async #expectNotDropped(request: TransactionRequest): Promise<void> {
    const dropped = await readDroppedId(this.#dependencies.pool, request.key)
    if (dropped === undefined) return
    if (isOtherContent(request, dropped.content)) throw idConflict(request)
    const detail = 'A transaction that was dropped with its period has taken this id; nothing was published.'
    throw new Problem(410, 'period_dropped', detail, {
      members: { txn_id: request.command.id, available_from: dropped.availableFrom.toISOString() },
    })
  }

  async #publish(request: TransactionRequest): Promise<void> {
    const { gateway } = this.#dependencies
    const { command, record } = request
    try {
      const [first] = command.postings
      if (this.#opener !== undefined && request.mayOpenAccounts && first !== undefined) {
        const accountIds = command.postings.flatMap(({ debit, credit }) => [debit, credit])
        await this.#opener.ensure(accountIds, first.currency, command.actor)
      }
      await gateway.publish('transactions', first?.debit ?? command.id, record)
    } catch (error) {
      // It may have been written all the same: only with the same id is trying again safe.
      const { status, code, message, headers } = problemOf(error)
      throw new Problem(status, code, message, {
        headers: { ...headers },
        members: { txn_id: command.id, hint: 'Send it again with txn_id as the Idempotency-Key.' },
      })
    }
    this.#recent.add(request.key)
  }

  async #wait(key: string, waitMs: number): Promise<StoredOutcome | undefined> {
    const { outcomes, metrics } = this.#dependencies
    try {
      const outcome = await outcomes.wait(key, waitMs)
      metrics.waits.inc({ result: outcome === undefined ? 'timed_out' : 'decided' })
      return outcome
    } catch {
      // Others came first in the meantime. It is published, so the answer is that it is under way.
      metrics.waits.inc({ result: 'refused' })
      return undefined
    }
  }

  async #answered(request: TransactionRequest, outcome: StoredOutcome): Promise<StoredOutcome> {
    if (!isSameContent(request, outcome)) throw idConflict(request)
    // Whoever is told of an outcome must not read an older balance afterwards.
    await this.#dependencies.cache.expireOlder(outcome.accountIds, outcome)
    return outcome
  }
}

const idConflict = ({ command }: TransactionRequest): Problem =>
  new Problem(409, 'id_conflict', 'Another transaction has taken this id.', {
    members: { txn_id: command.id },
  })
