/**
 * What the engine's prepared statements do to the simulated tables. Each is known by its name; what it checks is taken from its
 * own text, so that a check that is dropped from the SQL is dropped here too.
 */
import { elementsOf } from './arrays.ts'
import { readStatements } from './read-statements.ts'
import { rowStatements } from './row-statements.ts'
import { PgError, type Statement, type StatementContext } from './server.ts'
import { type OffsetRow, offsetKey, put } from './tables.ts'

const offsetLock = (key: string): string => `offset ${key}`

/** `require_rows(what, expected, found)`, where the text calls it. @returns the row of a statement that selects it */
const requireRows = (context: StatementContext, expected: unknown, found: number): object[] => {
  const what = /require_rows\('([^']+)'/.exec(context.text)
  if (what === null || Number(expected) === found) return [{ require_rows: '' }]
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
    const ended = new Set<number>()
    for (const key of claimKeys(context)) {
      const pid = context.tables.offsets.get(key)?.ownerPid
      if (pid !== null && pid !== undefined && pid !== context.session.pid && context.terminate(pid))
        ended.add(pid)
    }
    return [...ended].map(() => ({ pg_terminate_backend: true }))
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
        topicId: null,
        jumpedFrom: null,
        jumpedTo: BigInt(starts[place]!) || null,
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
    const keepsId = /topic_id = coalesce\(o\.topic_id, u\.i\)/.test(context.text)
    const ids = elementsOf<string | null>(context.values[5])
    return claimKeys(context).flatMap((key, place) => {
      const row = context.tables.offsets.get(key)
      if (row === undefined) return []
      const taken: OffsetRow = {
        ...row,
        epoch: row.epoch + raises,
        owner: context.values[3] as string,
        ownerPid: context.session.pid,
        topicId: keepsId ? (row.topicId ?? ids[place] ?? null) : row.topicId,
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
          topic_id: taken.topicId,
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

/** An offset row as it is after the transaction's own writes so far. */
const offsetSeen = (context: StatementContext, key: string): OffsetRow | undefined => {
  const own = context.session.transaction?.writes.findLast((w) => w.table === 'offsets' && w.key === key)
  return own === undefined ? context.tables.offsets.get(key) : (own.row as OffsetRow)
}

const tellJumps: Statement = {
  locks: (context) => claimKeys(context).map(offsetLock),
  run: (context) => {
    const told = elementsOf<bigint>(context.values[3])
    for (const [place, key] of claimKeys(context).entries()) {
      const row = offsetSeen(context, key)
      if (row === undefined || row.jumpedTo !== told[place]) continue
      context.write(put('offsets', key, { ...row, jumpedFrom: null, jumpedTo: null }))
    }
    return []
  },
}

const movePositions: Statement = {
  locks: (context) => claimKeys(context).map(offsetLock),
  run: (context) => {
    const froms = elementsOf<bigint>(context.values[3])
    const tos = elementsOf<bigint>(context.values[4])
    let moved = 0
    for (const [place, key] of claimKeys(context).entries()) {
      const row = offsetSeen(context, key)
      if (row === undefined || row.nextOffset !== froms[place]) continue
      moved += 1
      context.write(
        put('offsets', key, {
          ...row,
          nextOffset: tos[place]!,
          epoch: row.epoch + 1n,
          lastOffset: null,
          lastHash: null,
          topicId: null,
          jumpedFrom: row.nextOffset,
          jumpedTo: tos[place]!,
        }),
      )
    }
    return requireRows(context, context.values[5], moved)
  },
}

const advanceOffsets: Statement = {
  locks: (context) => claimKeys(context).map(offsetLock),
  run: (context) => {
    const { values, text } = context
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
      const row = offsetSeen(context, key)
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
    return requireRows(context, values[9], advanced)
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
    return requireRows(context, 1, isAsExpected ? 1 : 0)
  },
}

/** A row that isn't the expected one is neither locked nor waited for; the expected one is looked at again once it is free. */
const lockExpectedHead: Statement = {
  locks: (context) => (isExpectedHead(context) && /for update/.test(context.text) ? ['head'] : []),
  run: (context) => {
    return requireRows(context, 1, isExpectedHead(context) ? 1 : 0)
  },
}

const isExpectedHead = ({ tables, values, text }: StatementContext): boolean => {
  const head = tables.head.get('head')!
  const isSequence = !/where sequence = \$1/.test(text) || head.sequence === BigInt(values[0] as bigint)
  return isSequence && (!/hash = \$2/.test(text) || head.hash.equals(values[1] as Buffer))
}

const takeIds: Statement = {
  locks: ({ values }) => elementsOf<string>(values[0]).map((key) => `id ${key}`),
  run: (context) => {
    const { values, tables } = context
    const contents = elementsOf<string>(values[1])
    const indexes = elementsOf<number>(values[3])
    const times = elementsOf<bigint>(values[4])
    let taken = 0
    for (const [place, key] of elementsOf<string>(values[0]).entries()) {
      if (tables.ids.has(key)) continue
      taken += 1
      const row = {
        content: contents[place]!,
        sequence: BigInt(values[2] as bigint),
        index: indexes[place]!,
        recordedAtMs: times[place]!,
      }
      context.write(put('ids', key, row))
    }
    return requireRows(context, values[5], taken)
  },
}

/** Rows that nothing reads back here. */
const ignored: Statement = { run: () => [] }

const STATEMENTS: Readonly<Record<string, Statement>> = {
  ...readStatements,
  ...rowStatements,
  'claim-end-old': claimEndOld,
  'claim-insert': claimInsert,
  'claim-take': claimTake,
  release,
  'take-ids': takeIds,
  'insert-dead-letters': ignored,
  'lock-expected-head': lockExpectedHead,
  'advance-offsets': advanceOffsets,
  'advance-head': advanceHead,
  'tell-jumps': tellJumps,
  'move-positions': movePositions,
}

/** Each must have a case in tests/simulation/conformance. */
export const STATEMENT_NAMES: readonly string[] = Object.keys(STATEMENTS)

/** What a statement does. @throws Error where the simulation has to learn it */
export const statementOf = (name: string, text: string): Statement => {
  const statement = STATEMENTS[name]
  if (statement === undefined) {
    throw new Error(`tests/simulation/postgres has to learn the statement "${name}": ${text}`)
  }
  return statement
}
