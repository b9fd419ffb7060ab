/** A lease by database time: who may publish, who makes ticks. Losing it is no danger (Kafka fences); it keeps two from fighting. */
import type pg from 'pg'
import { asOperatingError } from './postgres-errors.ts'

const TAKE = `insert into leases (name, holder, expires_at) values ($1, $2, now() + $3 * interval '1 millisecond')
  on conflict (name) do update set holder = excluded.holder, expires_at = excluded.expires_at
  where leases.holder = excluded.holder or leases.expires_at < now() returning 1`

export class Lease {
  private readonly pool: Pick<pg.Pool, 'query'>
  private readonly name: string
  private readonly holder: string
  private readonly lifetimeMs: number

  /** @param lifetimeMs how long it holds without being renewed */
  constructor(pool: Pick<pg.Pool, 'query'>, options: { name: string; holder: string; lifetimeMs: number }) {
    this.pool = pool
    this.name = options.name
    this.holder = options.holder
    this.lifetimeMs = options.lifetimeMs
  }

  /** Takes or renews it. @returns whether it is held now. @throws UnreachableError */
  async take(): Promise<boolean> {
    try {
      const { rowCount } = await this.pool.query(TAKE, [this.name, this.holder, this.lifetimeMs])
      return rowCount === 1
    } catch (error) {
      throw asOperatingError(error)
    }
  }

  /** Gives it back, so that the next one need not wait. Never throws. */
  async release(): Promise<void> {
    await this.pool
      .query('delete from leases where name = $1 and holder = $2', [this.name, this.holder])
      .catch(() => undefined)
  }
}
