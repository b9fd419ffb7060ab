/** Opens accounts that a request names and the ledger doesn't know, where that is switched on: for clients that never opened any. */
import type { IngestGateway } from '#api/gateway/ingest-gateway.ts'
import type { PositionWaiter } from '#api/gateway/position-waiter.ts'
import { OperatingError } from '#platform/errors.ts'

export interface AccountOpenerOptions {
  readonly gateway: IngestGateway
  readonly positions: PositionWaiter
  /** Those of the ids that are accounts. */
  readonly readKnownAccounts: (accountIds: readonly string[]) => Promise<Set<string>>
  /** The account that funds others: opened as external and without limit. */
  readonly sourceAccount: string
  readonly timeoutMs: number
}

/** Ids remembered as known: an account is never removed. */
const REMEMBERED_MAX = 100_000

export class AccountOpener {
  readonly #options: AccountOpenerOptions
  readonly #known = new Set<string>()
  /** Openings under way, so that requests at the same moment share one. */
  readonly #opening = new Map<string, Promise<void>>()

  constructor(options: AccountOpenerOptions) {
    this.#options = options
  }

  /**
   * Makes sure that these accounts are there, opened in this currency where they weren't.
   *
   * @throws OperatingError `account_opening_timeout` where the ledger didn't apply an opening in time; what publishing throws.
   */
  async ensure(accountIds: readonly string[], currency: string, actor: string): Promise<void> {
    const wanted = [...new Set(accountIds)].filter((id) => !this.#known.has(id))
    if (wanted.length === 0) return
    const known = await this.#options.readKnownAccounts(wanted)
    for (const id of known) this.#remember(id)
    const missing = wanted.filter((id) => !known.has(id))
    await Promise.all(missing.map((id) => this.#openOnce(id, currency, actor)))
  }

  #openOnce(accountId: string, currency: string, actor: string): Promise<void> {
    const underWay = this.#opening.get(accountId)
    if (underWay !== undefined) return underWay
    const opening = this.#open(accountId, currency, actor).finally(() => this.#opening.delete(accountId))
    this.#opening.set(accountId, opening)
    return opening
  }

  async #open(accountId: string, currency: string, actor: string): Promise<void> {
    const { gateway, positions, sourceAccount, timeoutMs } = this.#options
    const isSource = accountId === sourceAccount
    const position = await gateway.publish('accounts', accountId, {
      action: 'open',
      accountId,
      currency,
      accountClass: isSource ? 'external' : 'customer',
      limited: !isSource,
      actor,
    })
    if (!(await positions.wait(position, timeoutMs))) {
      throw new OperatingError('account_opening_timeout', 'the ledger did not open an account in time', {
        retriable: true,
      })
    }
    this.#remember(accountId)
  }

  #remember(accountId: string): void {
    if (this.#known.size >= REMEMBERED_MAX) this.#known.clear()
    this.#known.add(accountId)
  }
}
