/** A processor's session with its ledger: one at a time, opened anew where it broke, and none left open. */
import { OperatingError } from '#platform/errors.ts'
import type { LedgerStore } from '#platform/postgres/ledger-store/store.ts'

export class Sessions {
  private readonly open: () => Promise<LedgerStore>
  private readonly onOpened: (session: LedgerStore) => void
  private current: LedgerStore | null = null
  /** The loop and a claim may need one at the same time, and two would be one that nobody closes. */
  private opening: Promise<LedgerStore> | null = null
  private isClosed = false

  constructor(open: () => Promise<LedgerStore>, onOpened: (session: LedgerStore) => void) {
    this.open = open
    this.onOpened = onOpened
  }

  /** The session, if there is one; it may be broken. */
  get session(): LedgerStore | null {
    return this.current
  }

  /** A session that works: the old one where it still does. @throws what opening throws */
  ensure(): Promise<LedgerStore> {
    if (this.current !== null && !this.current.isBroken) return Promise.resolve(this.current)
    this.opening ??= this.reopen().finally(() => {
      this.opening = null
    })
    return this.opening
  }

  /** Closes the session; the next `ensure` opens another one. */
  async close(): Promise<void> {
    const { current } = this
    this.current = null
    await current?.close()
  }

  /** Closes the session, and one that is just being opened; no other one is opened. */
  async closeAll(): Promise<void> {
    this.isClosed = true
    await this.close()
    await this.opening?.catch(() => undefined)
    await this.close()
  }

  private async reopen(): Promise<LedgerStore> {
    if (this.isClosed) throw new OperatingError('processor_stopping', 'the processor is being stopped')
    await this.close()
    const session = await this.open()
    this.current = session
    this.onOpened(session)
    return session
  }
}
