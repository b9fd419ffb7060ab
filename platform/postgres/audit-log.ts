/**
 * The audit log: who looked at and changed what. Entries are appended one after the other under the lock of the log's head row, each
 * hashed over the one before. Format: the migration `audit-log` in schemas/sql/. Checked by audit-log-check.ts.
 */
import { createHash } from 'node:crypto'
import type pg from 'pg'
import { maskCardNumbers } from '#domain/transactions/card-numbers.ts'
import { IncidentError } from '#platform/errors.ts'
import { asOperatingError } from './postgres-errors.ts'
import { inTransaction } from './transaction.ts'

/** Something that happened. */
export interface AuditEntry {
  /** Ms since 1970. */
  readonly atMs: number
  readonly actor: string
  readonly action: string
  /** What it was about: an account, a transaction, a command's arguments. */
  readonly subject: string
  readonly details: Readonly<Record<string, unknown>>
}

/** An entry as it stands in the table. */
export interface StoredAuditEntry {
  readonly seq: bigint
  readonly at: string
  readonly actor: string
  readonly action: string
  readonly subject: string
  readonly details: string
  readonly previousHash: Buffer
  readonly hash: Buffer
}

/** What stands before the first entry. */
export const FIRST_PREVIOUS = Buffer.alloc(32)
const ACTOR_LENGTH_MAX = 128
const TEXT_LENGTH_MAX = 512
const DETAILS_LENGTH_MAX = 4_096

/** The hash of an entry. */
export const auditHash = (entry: Omit<StoredAuditEntry, 'hash'>): Buffer =>
  createHash('sha256')
    .update(entry.previousHash)
    .update(
      JSON.stringify([String(entry.seq), entry.at, entry.actor, entry.action, entry.subject, entry.details]),
    )
    .digest()

/** The password of a URL. */
const PASSWORD = /(:\/\/[^\s/:@]*:)[^\s/@]+(?=@)/g

/** Text that can be stored and repeated: no card number, no password, no NUL, well-formed, not longer than it may be. */
const stored = (text: string, lengthMax: number): string =>
  // Cut before it is made well-formed: half a surrogate pair would come back from Postgres as another character than was hashed.
  maskCardNumbers(text.replaceAll('\0', '?').replaceAll(PASSWORD, '$1***')).slice(0, lengthMax).toWellFormed()

const detailsText = (details: AuditEntry['details']): string => {
  const text = JSON.stringify(details, (_key, part: unknown) =>
    typeof part === 'bigint' ? String(part) : typeof part === 'string' ? stored(part, TEXT_LENGTH_MAX) : part,
  )
  return text.length > DETAILS_LENGTH_MAX ? '{"truncated":true}' : text
}

/** Entries as they stand behind a head. */
const chainedTo = (
  { last, hash: before }: { readonly last: bigint; readonly hash: Buffer },
  entries: readonly AuditEntry[],
): StoredAuditEntry[] => {
  let [seq, hash] = [last, before]
  return entries.map((entry) => {
    const chained = {
      seq: seq + 1n,
      at: new Date(entry.atMs).toISOString(),
      actor: stored(entry.actor, ACTOR_LENGTH_MAX),
      action: stored(entry.action, TEXT_LENGTH_MAX),
      subject: stored(entry.subject, TEXT_LENGTH_MAX),
      details: detailsText(entry.details),
      previousHash: hash,
    }
    seq += 1n
    hash = auditHash(chained)
    return { ...chained, hash }
  })
}

/** The newest entry: its place, and its hash. Place 0 and 32 zero bytes for an empty log. */
export interface AuditLogHead {
  readonly seq: bigint
  readonly hash: Buffer
}

interface HeadRow {
  seq: string | bigint
  hash: Buffer
}

interface Row {
  seq: string | bigint
  at: string
  actor: string
  action: string
  subject: string
  details: string
  previous_hash: Buffer
  hash: Buffer
}

const entryOf = (row: Row): StoredAuditEntry => ({
  seq: BigInt(row.seq),
  at: row.at,
  actor: row.actor,
  action: row.action,
  subject: row.subject,
  details: row.details,
  previousHash: row.previous_hash,
  hash: row.hash,
})

const INSERT = `insert into audit_log (seq, at, actor, action, subject, details, previous_hash, hash)
  select * from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::bytea[])`

/** Whoever is paused with the head locked is ended, so that the others go on. */
const BEGIN = `begin; set local idle_in_transaction_session_timeout = '2s'; set local lock_timeout = '10s'`

/** All of it throws UnreachableError where Postgres doesn't answer, OperatingError `postgres_failed` where it refuses; appending IncidentError `audit_log_damaged`. */
export class AuditLog {
  private readonly pool: Pick<pg.Pool, 'connect' | 'query'>

  constructor(pool: Pick<pg.Pool, 'connect' | 'query'>) {
    this.pool = pool
  }

  /** Appends entries, in their order; all or none. */
  async append(entries: readonly AuditEntry[]): Promise<void> {
    if (entries.length === 0) return
    await this.appending((head) => chainedTo(head, entries))
  }

  /** Does some work in the very transaction that notes it: both or neither. No other entry is appended meanwhile. */
  async appendWith<Result>(
    work: (
      client: Pick<pg.ClientBase, 'query'>,
    ) => Promise<{ readonly entries: readonly AuditEntry[]; readonly result: Result }>,
  ): Promise<Result> {
    let done: { readonly result: Result } | undefined
    await this.appending(async (head, client) => {
      const { entries, result } = await work(client)
      done = { result }
      return chainedTo(head, entries)
    })
    return done!.result
  }

  /** Puts entries back that were kept elsewhere, as they were; only behind the last one that is here. @returns how many; null where they don't follow it */
  async restore(entries: readonly StoredAuditEntry[]): Promise<number | null> {
    let count: number | null = 0
    await this.appending(({ seq: head, hash }) => {
      const missing = entries.filter(({ seq }) => seq > head)
      const [first] = missing
      const fits = first === undefined || (first.seq === head + 1n && first.previousHash.equals(hash))
      count = fits ? missing.length : null
      return fits ? missing : []
    })
    return count
  }

  /** Entries behind a place, in order. */
  async readAfter(seq: bigint, limit: number): Promise<StoredAuditEntry[]> {
    return await this.read('select * from audit_log where seq > $1 order by seq limit $2', [
      String(seq),
      limit,
    ])
  }

  /** The newest entries that fit, newest first. @param filter exact actor; action and subject as parts */
  async readNewest(
    filter: {
      readonly actor?: string
      readonly action?: string
      readonly subject?: string
      readonly before?: bigint
    },
    limit: number,
  ): Promise<StoredAuditEntry[]> {
    return await this.read(
      `select * from audit_log where ($1::text is null or actor = $1) and ($2::text is null or strpos(action, $2) > 0)
         and ($3::text is null or strpos(subject, $3) > 0) and ($4::bigint is null or seq < $4) order by seq desc limit $5`,
      [
        filter.actor ?? null,
        filter.action ?? null,
        filter.subject ?? null,
        filter.before === undefined ? null : String(filter.before),
        limit,
      ],
    )
  }

  /** The log's head, and how far its rows go, of one moment. The head is null where its row is gone. */
  async head(): Promise<{ readonly head: AuditLogHead | null; readonly last: bigint }> {
    try {
      const { rows } = await this.pool.query<{
        seq: bigint | string | null
        hash: Buffer
        last: bigint | string
      }>(
        'select h.seq, h.hash, l.last from (select coalesce(max(seq), 0) last from audit_log) l left join audit_log_head h on true',
      )
      const { seq, hash, last } = rows[0]!
      return { head: seq === null ? null : { seq: BigInt(seq), hash }, last: BigInt(last) }
    } catch (error) {
      throw asOperatingError(error)
    }
  }

  private async read(text: string, values: unknown[]): Promise<StoredAuditEntry[]> {
    try {
      const { rows } = await this.pool.query<Row>(text, values)
      return rows.map(entryOf)
    } catch (error) {
      throw asOperatingError(error)
    }
  }

  /** @param make Gets the head, and the last place that is taken: one more than the head's where somebody put a row behind it by hand. */
  private async appending(
    make: (
      head: AuditLogHead & { last: bigint },
      client: Pick<pg.ClientBase, 'query'>,
    ) => StoredAuditEntry[] | Promise<StoredAuditEntry[]>,
  ): Promise<void> {
    await inTransaction(
      this.pool,
      async (client) => {
        const { rows } = await client.query<HeadRow>('select seq, hash from audit_log_head for update')
        const row = rows[0]
        if (row === undefined)
          throw new IncidentError('audit_log_damaged', 'the row of audit_log_head is gone')
        const { rows: lasts } = await client.query<{ last: string | bigint }>(
          'select coalesce(max(seq), 0) as last from audit_log',
        )
        const seq = BigInt(row.seq)
        const found = BigInt(lasts[0]!.last)
        const entries = await make({ seq, hash: row.hash, last: found > seq ? found : seq }, client)
        const newest = entries.at(-1)
        if (newest === undefined) return
        await client.query(INSERT, columnsOf(entries))
        await client.query('update audit_log_head set seq = $1, hash = $2', [String(newest.seq), newest.hash])
      },
      { begin: BEGIN },
    )
  }
}

const columnsOf = (entries: readonly StoredAuditEntry[]): unknown[] => [
  entries.map(({ seq }) => String(seq)),
  entries.map(({ at }) => at),
  entries.map(({ actor }) => actor),
  entries.map(({ action }) => action),
  entries.map(({ subject }) => subject),
  entries.map(({ details }) => details),
  entries.map(({ previousHash }) => previousHash),
  entries.map(({ hash }) => hash),
]
