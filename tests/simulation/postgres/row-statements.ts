/** The statements that write a batch's rows: what was decided, what moved, how accounts and holds are after it. */
import { elementsOf } from './arrays.ts'
import { PgError, type Statement, type StatementContext } from './server.ts'
import { type AccountRow, type BatchRow, partyRowKey, put, sequenceKey } from './tables.ts'
import type { TableName, Write } from './tables.ts'

/** The row as the transaction sees it: with what it has written itself. */
const seen = <Row>(context: StatementContext, table: TableName, key: string): Row | undefined => {
  const own = context.session.transaction?.writes.findLast((w) => w.table === table && w.key === key)
  return (own === undefined ? context.tables[table].get(key) : own.row) as Row | undefined
}

/** Writes rows that must be new. @throws PgError 23505 where one is there already, also in the same statement */
const insertNew = (context: StatementContext, rows: readonly Write[]): void => {
  const keys = new Set<string>()
  for (const { table, key } of rows) {
    const name = `${table} ${key}`
    if (keys.has(name) || seen(context, table, key) !== undefined) {
      throw new PgError('23505', `duplicate key value violates unique constraint: ${name}`)
    }
    keys.add(name)
  }
  context.write(...rows)
}

const check = (isGood: boolean, what: string): void => {
  if (!isGood) throw new PgError('23514', `violates check constraint: ${what}`)
}

const insertTransactions: Statement = {
  run: (context) => {
    const { values } = context
    const rows: Write[] = []
    const sequence = BigInt(values[0] as bigint)
    const columns = values.slice(1).map((column) => elementsOf<never>(column))
    const [, index, key, id, source, kind, cause, status, reason] = columns
    for (const place of columns[0]!.keys()) {
      const row = {
        sequence,
        index: index![place]!,
        key: key![place]!,
        id: id![place]!,
        source: source![place]!,
        kind: kind![place]!,
        cause: cause![place]!,
        status: status![place]!,
        reason: reason![place]!,
        topic: columns[15]![place]!,
        partition: columns[16]![place]!,
        offset: columns[17]![place]!,
        recordedAtMs: BigInt(columns[0]![place]!),
        occurredAtMs: BigInt(columns[13]![place]!),
        payerNo: columns[19]?.[place] ?? null,
        acceptor: columns[20]?.[place] ?? null,
        wasUnusual: columns[21]?.[place] ?? null,
      }
      rows.push(put('transactions', `${sequence}.${row.index}`, row))
    }
    insertNew(context, rows)
    return []
  },
}

const insertPostings: Statement = {
  run: (context) => {
    const { values } = context
    const rows: Write[] = []
    const sequence = BigInt(values[0] as bigint)
    const columns = values.slice(1).map((column) => elementsOf<never>(column))
    const [, index, posting, debitNo, creditNo, amount, currency, debitPosted, creditPosted] = columns
    for (const place of columns[0]!.keys()) {
      const row = {
        sequence,
        index: index![place]!,
        posting: posting![place]!,
        debitNo: debitNo![place]!,
        creditNo: creditNo![place]!,
        amount: amount![place]!,
        currency: currency![place]!,
        debitPosted: debitPosted![place]!,
        creditPosted: creditPosted![place]!,
      }
      check(row.amount > 0n, 'an amount is positive')
      rows.push(put('postings', `${sequence}.${String(row.index)}.${String(row.posting)}`, row))
    }
    insertNew(context, rows)
    return []
  },
}

const insertAccounts: Statement = {
  run: (context) => {
    const { values } = context
    const rows: Write[] = []
    const version = BigInt(values[0] as bigint)
    const columns = values.slice(1).map((column) => elementsOf<never>(column))
    for (const [place, id] of (columns[1] as string[]).entries()) {
      const no: bigint = columns[0]![place]!
      const row = {
        no,
        id,
        currency: columns[2]![place]!,
        accountClass: columns[3]![place]!,
        normalSide: columns[4]![place]!,
        status: columns[5]![place]!,
        limited: columns[6]![place]!,
        overdraftLimit: columns[7]![place]!,
        reversalMayOverdraw: columns[8]![place]!,
        posted: columns[9]![place]!,
        reserved: columns[10]![place]!,
        profile: columns[11]![place]!,
        version,
        openedSequence: version,
      }
      check(row.reserved >= 0n, 'nothing less than nothing is reserved')
      rows.push(put('accounts', id, row), put('accountIdByNo', String(no), id))
    }
    insertNew(context, rows)
    return []
  },
}

const accountSeen = (context: StatementContext, no: bigint): AccountRow | undefined => {
  const id = seen<string>(context, 'accountIdByNo', String(no))
  return id === undefined ? undefined : seen<AccountRow>(context, 'accounts', id)
}

const updateBalances: Statement = {
  run: (context) => {
    const { values } = context
    const [posted, reserved] = [elementsOf<bigint>(values[2]), elementsOf<bigint>(values[3])]
    const profiles = elementsOf<Buffer | null>(values[4])
    for (const [place, no] of elementsOf<bigint>(values[1]).entries()) {
      const row = accountSeen(context, no)
      if (row === undefined) continue
      check(reserved[place]! >= 0n, 'nothing less than nothing is reserved')
      context.write(
        put('accounts', row.id, {
          ...row,
          posted: posted[place]!,
          reserved: reserved[place]!,
          version: BigInt(values[0] as bigint),
          profile: profiles[place] ?? row.profile,
        }),
      )
    }
    return []
  },
}

const upsertParties: Statement = {
  run: (context) => {
    const { values } = context
    const [kinds, names] = [elementsOf<number>(values[1]), elementsOf<string>(values[2])]
    const [days, states] = [elementsOf<number>(values[3]), elementsOf<Buffer>(values[4])]
    const written = new Set<string>()
    for (const [place, kind] of kinds.entries()) {
      const key = partyRowKey(kind, names[place]!)
      if (written.has(key)) throw new PgError('21000', 'ON CONFLICT cannot affect row a second time')
      written.add(key)
      const row = { kind, name: names[place]!, usedDay: days[place]!, state: states[place]! }
      context.write(put('parties', key, { ...row, version: BigInt(values[0] as bigint) }))
    }
    return []
  },
}

const upsertLabels: Statement = {
  run: (context) => {
    const { values } = context
    const verdicts = elementsOf<boolean>(values[2])
    for (const [place, key] of elementsOf<string>(values[1]).entries()) {
      context.write(put('labels', key, verdicts[place]!))
    }
    return []
  },
}

const updateReference: Statement = {
  run: (context) => {
    const { values } = context
    const status = elementsOf<string>(values[1])
    const limited = elementsOf<boolean>(values[2])
    const limits = elementsOf<bigint>(values[3])
    for (const [place, no] of elementsOf<bigint>(values[0]).entries()) {
      const row = accountSeen(context, no)
      if (row === undefined) continue
      const changed = { status: status[place]!, limited: limited[place]!, overdraftLimit: limits[place]! }
      context.write(put('accounts', row.id, { ...row, ...changed }))
    }
    return []
  },
}

const upsertHolds: Statement = {
  run: ({ values, write, tables }) => {
    const columns = values.map((column) => elementsOf<never>(column))
    for (const [place, key] of (columns[0] as string[]).entries()) {
      const known = tables.holds.get(key)
      const row = {
        key,
        kind: columns[1]![place]! as string,
        status: columns[2]![place]! as string,
        id: columns[3]![place]! as string,
        source: columns[4]![place]! as string,
        sequence: known?.sequence ?? columns[5]![place]!,
        index: known?.index ?? columns[6]![place]!,
        expiresAtMs: columns[7]![place]! as bigint,
        postings: columns[8]![place]! as string,
        command: known?.command ?? columns[10]![place]!,
        version: columns[11]![place]! as bigint,
        versionIndex: columns[12]![place]! as number,
        priority: columns[13]![place]! as number,
        reviewers: columns[14]![place]! as number,
        releasedBy: (columns[15] as (string | null)[])[place]!,
      }
      write(
        put('holds', key, row),
        put('activeHolds', key, row.status === 'active' ? row.expiresAtMs : undefined),
      )
    }
    return []
  },
}

const upsertReversals: Statement = {
  run: ({ values, write }) => {
    const places = elementsOf<number>(values[2])
    const reversed = elementsOf<bigint>(values[3])
    for (const [place, key] of elementsOf<string>(values[1]).entries()) {
      write(put('reversals', `${key}.${places[place]}`, reversed[place]!))
    }
    return []
  },
}

const insertRules: Statement = {
  run: (context) => {
    const { values } = context
    const rows: Write[] = []
    const versions = elementsOf<bigint>(values[1])
    const indexes = elementsOf<number>(values[2])
    const bodies = elementsOf<string>(values[3])
    for (const [place, id] of elementsOf<string>(values[0]).entries()) {
      const row = { version: versions[place]!, index: indexes[place]!, body: bodies[place]! }
      rows.push(put('rules', `${id}.${row.version}.${row.index}`, row))
    }
    insertNew(context, rows)
    return []
  },
}

const insertBatch: Statement = {
  run: (context) => {
    const [sequence, recordedAt, previousHash, hash, format, records, header, payload] = context.values as [
      bigint,
      string,
      Buffer,
      Buffer,
      number,
      number,
      Buffer,
      Buffer,
    ]
    const row = {
      sequence: BigInt(sequence),
      recordedAtMs: Date.parse(recordedAt),
      previousHash,
      hash,
      format,
      records,
      header,
      payload,
    }
    const key = sequenceKey(row.sequence)
    // The key of the table has the time in it too: two of one sequence are kept apart by the head alone.
    const known = seen<BatchRow>(context, 'batches', key)
    if (known?.recordedAtMs === row.recordedAtMs) insertNew(context, [put('batches', key, row)])
    else context.write(put('batches', key, row))
    return []
  },
}

export const rowStatements: Readonly<Record<string, Statement>> = {
  'insert-transactions': insertTransactions,
  'insert-labelled': insertTransactions,
  'insert-postings': insertPostings,
  'insert-accounts': insertAccounts,
  'update-balances': updateBalances,
  'update-reference': updateReference,
  'upsert-parties': upsertParties,
  'upsert-labels': upsertLabels,
  'upsert-holds': upsertHolds,
  'upsert-reversals': upsertReversals,
  'insert-rules': insertRules,
  'insert-batch': insertBatch,
}
