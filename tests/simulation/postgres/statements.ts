/**
 * What the engine's prepared statements do to the simulated tables. Each is known by its name; what it checks is taken from its
 * own text, so that a check that is dropped from the SQL is dropped here too. The conformance tests run the same calls against
 * the real Postgres.
 */
import { elementsOf } from './arrays.ts'
import { readStatements } from './read-statements.ts'
import { PgError, type Statement, type StatementContext } from './server.ts'
import { type OffsetRow, offsetKey, put, sequenceKey } from './tables.ts'

const offsetLock = (key: string): string => `offset ${key}`

/** `require_rows(what, expected, found)`, where the text calls it. */
const requireRows = (context: StatementContext, expected: unknown, found: number): void => {
  const what = /require_rows\('([^']+)'/.exec(context.text)
  if (what === null || Number(expected) === found) return
  throw new PgError(
    'TS001',
    `compare_and_swap_failed: ${what[1]} (expected ${String(expected)}, found ${found})`,
  )
}

const claimKeys = ({ values }: StatementContext): string[] => {
  const numbers = elementsOf<number>(values[2])
  return elementsOf<string>(values[1]).map((topic, place) =>
    offsetKey(values[0] as string, topic, numbers[place]!),
  )
}

const claimEndOld: Statement = {
  run: (context) => {
    for (const key of claimKeys(context)) {
      const pid = context.tables.offsets.get(key)?.ownerPid
      if (pid !== null && pid !== undefined && pid !== context.session.pid) context.terminate(pid)
    }
    return []
  },
}

const claimInsert: Statement = {
  locks: (context) => claimKeys(context).map(offsetLock),
  run: (context) => {
    const { values, tables } = context
    const topics = elementsOf<string>(values[1])
    const numbers = elementsOf<number>(values[2])
    const starts = elementsOf<string | bigint>(values[3])
    for (const [place, key] of claimKeys(context).entries()) {
      if (tables.offsets.has(key)) continue
      const row: OffsetRow = {
        cluster: values[0] as string,
        topic: topics[place]!,
        partition: numbers[place]!,
        nextOffset: BigInt(starts[place]!),
        epoch: 0n,
        owner: '',
        ownerPid: null,
        lastOffset: null,
        lastHash: null,
        lastTimestampMs: null,
      }
      context.write(put('offsets', key, row))
    }
    return []
  },
}

const claimTake: Statement = {
  locks: (context) => claimKeys(context).map(offsetLock),
  run: (context) => {
    const raises = /epoch = epoch \+ 1/.test(context.text) ? 1n : 0n
    return claimKeys(context).flatMap((key) => {
      const row = context.tables.offsets.get(key)
      if (row === undefined) return []
      const taken: OffsetRow = {
        ...row,
        epoch: row.epoch + raises,
        owner: context.values[3] as string,
        ownerPid: context.session.pid,
      }
      context.write(put('offsets', key, taken))
      return [
        {
          topic: row.topic,
          partition: row.partition,
          next_offset: String(row.nextOffset),
          epoch: String(taken.epoch),
          last_offset: row.lastOffset === null ? null : String(row.lastOffset),
          last_hash: row.lastHash,
        },
      ]
    })
  },
}

const release: Statement = {
  locks: (context) => claimKeys(context).map(offsetLock),
  run: (context) => {
    const epochs = elementsOf<string>(context.values[3])
    for (const [place, key] of claimKeys(context).entries()) {
      const row = context.tables.offsets.get(key)
      if (row === undefined || String(row.epoch) !== String(epochs[place])) continue
      context.write(put('offsets', key, { ...row, owner: '', ownerPid: null }))
    }
    return []
  },
}

const advanceOffsets: Statement = {
  locks: (context) => claimKeys(context).map(offsetLock),
  run: (context) => {
    const { values, text, tables } = context
    const epochs = elementsOf<bigint>(values[3])
    const froms = elementsOf<bigint>(values[4])
    const nexts = elementsOf<bigint>(values[5])
    const lastOffsets = elementsOf<bigint | null>(values[6])
    const lastHashes = elementsOf<Buffer | null>(values[7])
    const lastTimes = elementsOf<bigint | null>(values[8])
    const checksEpoch = /o\.epoch = u\.e/.test(text)
    const checksFrom = /o\.next_offset = u\.f/.test(text)
    const keepsGreatest = /next_offset = greatest\(/.test(text)
    let advanced = 0
    for (const [place, key] of claimKeys(context).entries()) {
      const row = tables.offsets.get(key)
      if (row === undefined) continue
      if (checksEpoch && row.epoch !== epochs[place]) continue
      if (checksFrom && row.nextOffset !== froms[place]) continue
      advanced += 1
      const next = nexts[place]!
      context.write(
        put('offsets', key, {
          ...row,
          nextOffset: keepsGreatest && row.nextOffset > next ? row.nextOffset : next,
          lastOffset: lastOffsets[place] ?? row.lastOffset,
          lastHash: lastHashes[place] ?? row.lastHash,
          lastTimestampMs: lastTimes[place] ?? row.lastTimestampMs,
        }),
      )
    }
    requireRows(context, values[9], advanced)
    return []
  },
}

const advanceHead: Statement = {
  locks: () => ['head'],
  run: (context) => {
    const { values, text, tables } = context
    const row = tables.head.get('head')!
    const [sequence, hash, tickMs, pending, expiring, rules, accounts, cards, wasSequence, wasHash, logic] =
      values as [bigint, Buffer, number, string, boolean, bigint, number, number, bigint, Buffer, number]
    const isAsExpected =
      (!/where sequence = \$9/.test(text) || row.sequence === BigInt(wasSequence)) &&
      (!/hash = \$10/.test(text) || row.hash.equals(wasHash)) &&
      row.logicVersion === logic
    if (isAsExpected) {
      context.write(
        put('head', 'head', {
          ...row,
          sequence: BigInt(sequence),
          hash,
          tickMs: BigInt(tickMs),
          pendingTicks: pending,
          expiring,
          rulesVersion: BigInt(rules),
          accountsCount: BigInt(accounts),
          cardsCount: BigInt(cards),
        }),
      )
    }
    requireRows(context, 1, isAsExpected ? 1 : 0)
    return []
  },
}

const takeIds: Statement = {
  locks: ({ values }) => elementsOf<string>(values[0]).map((key) => `id ${key}`),
  run: (context) => {
    const { values, tables } = context
    const contents = elementsOf<string>(values[1])
    const indexes = elementsOf<number>(values[3])
    let taken = 0
    for (const [place, key] of elementsOf<string>(values[0]).entries()) {
      if (tables.ids.has(key)) continue
      taken += 1
      const row = { content: contents[place]!, sequence: BigInt(values[2] as bigint), index: indexes[place]! }
      context.write(put('ids', key, row))
    }
    requireRows(context, values[5], taken)
    return []
  },
}

const insertTransactions: Statement = {
  run: ({ values, write }) => {
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
      }
      write(put('transactions', `${sequence}.${row.index}`, row))
    }
    return []
  },
}

const insertPostings: Statement = {
  run: ({ values, write }) => {
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
      write(put('postings', `${sequence}.${String(row.index)}.${String(row.posting)}`, row))
    }
    return []
  },
}

const insertAccounts: Statement = {
  run: ({ values, write }) => {
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
      write(put('accounts', id, row), put('accountIdByNo', String(no), id))
    }
    return []
  },
}

/** A row as it is after the transaction's own writes so far. */
const accountSeen = (context: StatementContext, no: bigint) => {
  const id = context.tables.accountIdByNo.get(String(no))
  if (id === undefined) return undefined
  const own = context.session.transaction?.writes.findLast((w) => w.table === 'accounts' && w.key === id)
  return own === undefined ? context.tables.accounts.get(id) : (own.row as never)
}

const updateBalances: Statement = {
  run: (context) => {
    const { values } = context
    const [posted, reserved] = [elementsOf<bigint>(values[2]), elementsOf<bigint>(values[3])]
    const profiles = elementsOf<Buffer | null>(values[4])
    for (const [place, no] of elementsOf<bigint>(values[1]).entries()) {
      const row = accountSeen(context, no)
      if (row === undefined) continue
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
  run: ({ values, write }) => {
    const versions = elementsOf<bigint>(values[1])
    const indexes = elementsOf<number>(values[2])
    const bodies = elementsOf<string>(values[3])
    for (const [place, id] of elementsOf<string>(values[0]).entries()) {
      const row = { version: versions[place]!, index: indexes[place]!, body: bodies[place]! }
      write(put('rules', `${id}.${row.version}.${row.index}`, row))
    }
    return []
  },
}

const insertBatch: Statement = {
  run: ({ values, write }) => {
    const [sequence, recordedAt, previousHash, hash, format, records, header, payload] = values as [
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
    write(put('batches', sequenceKey(row.sequence), row))
    return []
  },
}

/** Rows that nothing reads back here. */
const ignored: Statement = { run: () => [] }

const STATEMENTS: Readonly<Record<string, Statement>> = {
  ...readStatements,
  'claim-end-old': claimEndOld,
  'claim-insert': claimInsert,
  'claim-take': claimTake,
  release,
  'take-ids': takeIds,
  'insert-transactions': insertTransactions,
  'insert-postings': insertPostings,
  'insert-accounts': insertAccounts,
  'update-balances': updateBalances,
  'update-reference': updateReference,
  'upsert-holds': upsertHolds,
  'upsert-reversals': upsertReversals,
  'insert-rules': insertRules,
  'insert-batch': insertBatch,
  'insert-dead-letters': ignored,
  'insert-commands': ignored,
  'advance-offsets': advanceOffsets,
  'advance-head': advanceHead,
}

/** What a statement does. @throws Error where the simulation has to learn it */
export const statementOf = (name: string, text: string): Statement => {
  const statement = STATEMENTS[name]
  if (statement === undefined) {
    throw new Error(`tests/simulation/postgres has to learn the statement "${name}": ${text}`)
  }
  return statement
}
