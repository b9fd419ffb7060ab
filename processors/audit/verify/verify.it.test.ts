/**
 * Tampering by hand, on the tables of a real history: every column of every table that holds money or decisions is changed, rows are
 * added and removed, the chain is rewritten; each is found, by the name of its row, and nothing else is accused.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type BatchHeader, batchHash } from '#domain/ledger/batch-record.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { TamperedLedger } from '#loadtest/generator/testing/tampered-ledger.ts'
import { APPENDED } from '#platform/postgres/queries/audit-rows.ts'
import type { Finding } from './findings.ts'
import { changeOf, FEW_ROWS, NOT_PROVEN, nameOf, OUTSIDE, TABLES } from './testing/columns.ts'
import {
  AUDIT_LOG,
  BATCHES,
  FIRST_PERIOD,
  LAST_BATCH,
  PERIODS,
  ROUNDS,
  UNLOCKED,
} from './testing/tamperings.ts'

const folder = mkdtempSync(join(tmpdir(), 'tallystream-verify-test-'))
let ledger: TamperedLedger

beforeAll(async () => {
  const archive = { ARCHIVE_SEGMENT_SECONDS_MAX: '1', ARCHIVE_SEGMENT_BYTES_MAX: '16384' }
  ledger = await TamperedLedger.create(
    testConfiguration('verify', { ...archive, ARCHIVE_URL: pathToFileURL(folder).href }),
  )
  const [closed] = await rows<{ months: number }>('select count(*)::int as months from periods')
  expect(closed!.months).toBeGreaterThan(1)
})
afterAll(async () => {
  await ledger?.close()
  rmSync(folder, { recursive: true, force: true })
})

const rows = <Row>(text: string, values: unknown[] = []): Promise<Row[]> => ledger.rows<Row>(text, values)
const foundAfter = (...changes: string[]): Promise<Finding[]> => ledger.foundAfter(...changes)
const kindsAfter = (...changes: string[]): Promise<string[]> => ledger.kindsAfter(...changes)

describe('tables', () => {
  it('of the database: for each of them, and each of their columns, it is decided how a change shows', async () => {
    const tables = await rows<{ name: string }>(
      `select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where n.nspname = $1 and c.relkind in ('r', 'p', 'm', 'f') and not c.relispartition order by 1`,
      [ledger.schema],
    )
    const undecided: string[] = []
    for (const { name } of tables) {
      if (OUTSIDE.includes(name)) continue
      const compared = TABLES.find((table) => table.name === name)?.columns.map(nameOf) ?? []
      const decided = new Set([...compared, ...(FEW_ROWS[name] ?? []), ...(NOT_PROVEN[name] ?? [])])
      for (const column of await ledger.columnsOf(name)) {
        if (!decided.has(column.name)) undecided.push(`${name}.${column.name}`)
      }
    }
    expect(undecided).toEqual([])
    const decided = Object.keys({ ...FEW_ROWS, ...NOT_PROVEN })
    const known = new Set([...TABLES.map(({ name }) => name), ...decided, ...OUTSIDE])
    expect([...known].sort()).toEqual(tables.map(({ name }) => name))
  })

  it('that nobody touched: nothing is found', async () => {
    expect(await foundAfter()).toEqual([])
  })

  it('whose columns were changed: each row is named, whichever column it was', async () => {
    const changes: string[] = []
    const expected = new Set<string>()
    for (const table of TABLES) {
      const columns = (await ledger.columnsOf(table.name)).filter(
        ({ name }) => !(NOT_PROVEN[table.name] ?? []).includes(name),
      )
      const keys = new Set(table.columns.slice(0, table.keyColumns).map(nameOf))
      const targets = await ledger.targetsOf(table, columns.length)
      expect({ table: table.name, rows: targets.length }).toEqual({ table: table.name, rows: columns.length })
      for (const [place, column] of columns.entries()) {
        const { ctid, part, key } = targets[place]!
        const change = changeOf(table.name, column, keys.has(column.name))
        changes.push(`update ${part} set ${change} where ctid = '${ctid}'`)
        const isNumbered = table.name === 'accounts' || table.name === 'cards'
        const kind = keys.has(column.name) ? 'removed' : 'changed'
        if (isNumbered && column.name.endsWith('_no') && kind === 'removed')
          expected.add(`${table.name} ${key} removed`)
        else expected.add(`${table.name} ${key} ${kind}`)
      }
    }
    const found = await foundAfter(...changes)
    const names = new Set(found.map(({ table, key, kind }) => `${table} ${key} ${kind}`))
    expect([...expected].filter((name) => !names.has(name))).toEqual([])
    // Besides: balances that no longer add up, and rows that got another name.
    const others = found.filter(({ table, key, kind }) => !expected.has(`${table} ${key} ${kind}`))
    expect(new Set(others.map(({ kind }) => kind))).toEqual(new Set(['sum', 'fold', 'added']))
  })

  it('from which rows were removed: each is named', async () => {
    const changes: string[] = []
    const expected: string[] = []
    for (const table of TABLES) {
      const [target] = await ledger.targetsOf(table, 1)
      changes.push(`delete from ${target!.part} where ctid = '${target!.ctid}'`)
      expected.push(`${table.name} ${target!.key}`)
    }
    const found = await foundAfter(...changes)
    const removed = found.filter(({ kind }) => kind === 'removed').map(({ table, key }) => `${table} ${key}`)
    expect(removed.sort()).toEqual(expected.sort())
    expect(found.some(({ kind }) => kind === 'fold')).toBe(true)
  })

  it('to which rows were added: each is named', async () => {
    const copies: Record<string, string> = {
      transactions: `"index" = 99999`,
      postings: `posting = 99`,
      rules: `rule_id = 'mine'`,
      dead_letters: `"index" = 99999`,
      commands: `"index" = 99999, claims = false`,
      transaction_ids: `key = md5('mine')::uuid`,
      holds: `key = md5('mine')::uuid`,
      reversals: `posting = 99`,
      accounts: `account_no = 99999, account_id = 'mine'`,
      cards: `card_no = 99999, card = 'mine'`,
      fraud_parties: `name = 'mine'`,
      fraud_labels: `key = md5('mine')::uuid`,
      ingest_offsets: `topic = 'mine'`,
      codes: `code = 9999`,
      closings: `account_no = 99999`,
      card_closings: `card_no = 99999`,
    }
    expect(Object.keys(copies).sort()).toEqual(TABLES.map(({ name }) => name).sort())
    const changes = Object.entries(copies).flatMap(([table, set]) => [
      `create temporary table copied as select * from ${table} order by md5(${table}::text) limit 1`,
      `update copied set ${set}`,
      `insert into ${table} select * from copied`,
      'drop table copied',
    ])
    // One connection, which a temporary table needs.
    const found = await foundAfter(changes.join('; '))
    const added = found.filter(({ kind }) => kind === 'added').map(({ table }) => table)
    expect(added.sort()).toEqual(Object.keys(copies).sort())
    expect(found.find(({ table, kind }) => table === 'accounts' && kind === 'added')?.key).toBe('mine')
  })

  it('with a second row under a key that a partitioned table lets in: it is named, the right one is not', async () => {
    const [target] = await ledger.targetsOf(APPENDED.postings, 1)
    const found = await foundAfter(
      `create temporary table copied as select * from ${target!.part} where ctid = '${target!.ctid}';
       update copied set recorded_at = recorded_at + interval '1 day', amount = amount + 5;
       insert into postings select * from copied; drop table copied`,
    )
    expect(found.filter(({ table }) => table === 'postings')).toEqual([
      { table: 'postings', key: target!.key, kind: 'added' },
    ])
  })
})

// Verifying looks at everything each time: what has nothing to do with each other is changed together.
describe('one column', () => {
  it.each(ROUNDS)('$name', async ({ round }) => {
    const found = await foundAfter(UNLOCKED, ...round.map(({ change }) => change))
    for (const { name, tables, kinds, alone } of round) {
      const own = found
        .filter(({ table }) => tables.includes(table))
        .map(({ table, kind }) => `${table} ${kind}`)
      if (alone) expect(own, name).toEqual(kinds)
      else expect(own, name).toEqual(expect.arrayContaining([...kinds]))
    }
    const about = new Set(round.flatMap(({ tables }) => tables))
    expect(found.filter(({ table }) => !about.has(table))).toEqual([])
  })

  it('each is named by its key', async () => {
    const last = await rows<{ key: string }>(`select ${LAST_BATCH}::text as key`)
    const month = await rows<{ month: string }>(`select to_char(${FIRST_PERIOD}, 'YYYY-MM') as month`)
    const found = await foundAfter(UNLOCKED, PERIODS[0]!.change, AUDIT_LOG[1]!.change)
    expect(found).toContainEqual({ table: 'periods', key: month[0]!.month, kind: 'changed' })
    expect(found).toContainEqual({ table: 'audit_log', key: '2', kind: 'changed' })
    const ofBatch = await foundAfter(BATCHES[2]!.change)
    expect(ofBatch).toContainEqual({ table: 'batches', key: last[0]!.key, kind: 'changed' })
  })
})

describe('the head', () => {
  it.each([
    ['hash', `sha256('x')`, 'ledger_head chain'],
    ['sequence', 'sequence + 1', 'batches gap'],
    ['ledger', `ledger || 'x'`, 'batches chain'],
    ['genesis_tick_ms', 'genesis_tick_ms + 1', 'batches chain'],
    ['genesis_logic_version', 'genesis_logic_version + 1', 'batches chain'],
  ])('with another %s', async (column, value, expected) => {
    expect(await kindsAfter(`update ledger_head set ${column} = ${value}`)).toContain(expected)
  })

  it('that was set back with all that came after: batches that left are missed', async () => {
    const [{ last }] = (await rows<{ last: bigint }>('select max(sequence) as last from batches')) as [
      { last: bigint },
    ]
    const found = await foundAfter(
      ...['transactions', 'postings', 'dead_letters', 'commands'].map(
        (table) => `delete from ${table} where sequence = ${last}`,
      ),
      `update ledger_head set sequence = sequence - 1, hash = (select previous_hash from batches where sequence = ${last})`,
      `delete from batches where sequence = ${last}`,
    )
    expect(found).toContainEqual({ table: 'batches', key: String(last), kind: 'removed' })
  })
})

describe('closed periods', () => {
  const first = FIRST_PERIOD
  const month = async (): Promise<string> => {
    const [row] = await rows<{ month: string }>(
      `select to_char(min(period), 'YYYY-MM') as month from periods`,
    )
    return row!.month
  }

  it('one of which is missing, or too much', async () => {
    const key = await month()
    const removed = await foundAfter(`delete from periods where period = ${first}`)
    expect(removed).toContainEqual({ table: 'periods', key, kind: 'removed' })
    const copy = (value: string) =>
      `create temporary table copied as select * from periods where period = ${first};
       update copied set period = ${value}; insert into periods select * from copied; drop table copied`
    for (const value of [`period - interval '1 month'`, `date_trunc('month', now())`]) {
      const added = await foundAfter(copy(value))
      expect(added.filter(({ kind }) => kind === 'added').map(({ table }) => table)).toEqual(['periods'])
    }
  })

  it('closed again after entries and closings were changed to fit: both are named', async () => {
    const [target] = await rows<{ key: string; account: string; no: bigint }>(
      `select p.sequence || '/' || p.index || '/' || p.posting as key, a.account_id as account, a.account_no as no
       from postings p join accounts a on a.account_no = p.debit_no
       where p.recorded_at < ${first} + interval '1 month' order by p.sequence desc limit 1`,
    )
    const { key, no, account } = target!
    const [sequence, index, posting] = key.split('/')
    const found = await foundAfter(
      `update postings set amount = amount + 7 where (sequence, index, posting) = (${sequence}, ${index}, ${posting})`,
      `update closings set debits = debits + 7, posted = posted - 7 where period = ${first} and account_no = ${no}`,
    )
    expect(found).toContainEqual({ table: 'postings', key, kind: 'changed' })
    expect(found).toContainEqual({ table: 'closings', key: `${await month()}/${account}`, kind: 'changed' })
  })
})

describe('how far something has come', () => {
  it('whose rows were removed', async () => {
    const tables = ['publisher_progress', 'archive_progress', 'id_sweep', 'kafka_clusters']
    const found = await kindsAfter(...tables.map((table) => `delete from ${table}`))
    expect(found.sort()).toEqual(tables.map((table) => `${table} removed`).sort())
  })
})

describe('the audit log', () => {
  it('cut off, head and all: the archive knows better', async () => {
    const cut = `delete from audit_log where seq = 4; update audit_log_head h set seq = a.seq, hash = a.hash from audit_log a where a.seq = 3`
    expect(await foundAfter(UNLOCKED, cut)).toEqual([{ table: 'audit_log', key: '4', kind: 'removed' }])
  })

  it('with another head, or none', async () => {
    const set = (value: string) => kindsAfter(UNLOCKED, `update audit_log_head set ${value}`)
    expect(await set('seq = seq + 1')).toEqual(['audit_log removed'])
    expect(await set(`hash = sha256('x')`)).toEqual(['audit_log_head chain'])
    expect(await kindsAfter(UNLOCKED, 'delete from audit_log_head')).toEqual(['audit_log_head removed'])
  })
})

describe('batches', () => {
  it('one of which is missing, or too much', async () => {
    const [{ middle, end }] = (await rows<{ middle: string; end: string }>(
      // None that a closing ends with: that is found as well.
      `select (select max(sequence) from batches m where m.sequence <= max(b.sequence) / 2
         and not exists (select from periods where chain_sequence = m.sequence))::text as middle,
       max(b.sequence)::text as end from batches b`,
    )) as [{ middle: string; end: string }]
    expect(await foundAfter(`delete from batches where sequence = ${middle}`)).toEqual([
      { table: 'batches', key: middle, kind: 'gap' },
    ])
    const added = String(Number(end) + 1)
    const copy = `insert into batches select ${added}, recorded_at, previous_hash, hash, format, records, header, payload
      from batches where sequence = ${end}`
    expect(await foundAfter(copy)).toEqual([{ table: 'batches', key: added, kind: 'added' }])
  })

  it('rewritten together with the rows and with every hash after them: the published heads and the replay show it', async () => {
    const batches = await ledger.history.pipeline.ledger.batches()
    const [target] = await rows<{ sequence: bigint; index: number; id: string; amount: bigint }>(
      `select t.sequence, t.index, t.id, p.amount from transactions t join postings p using (sequence, index)
       where t.kind = 0 and t.cause = 0 order by t.sequence desc, t.index limit 1`,
    )
    const { sequence, index, id } = target!
    const changes = [
      `update postings set amount = amount + 1 where sequence = ${sequence} and index = ${index}`,
    ]
    let previous: Buffer | null = null
    for (const batch of batches.filter((each) => each.sequence >= sequence)) {
      const header = JSON.parse(String(batch.header)) as BatchHeader
      const payload = Buffer.from(batch.payload)
      // Any byte of the transaction's output will do.
      if (batch.sequence === sequence) payload[payload.indexOf(id) + id.length + 40]! ^= 1
      const bytes = Buffer.from(JSON.stringify(header))
      const before: Buffer = previous ?? batch.previousHash
      previous = batchHash(before, bytes, payload)
      const hex = (value: Buffer) => `'\\x${value.toString('hex')}'::bytea`
      changes.push(
        `update batches set previous_hash = ${hex(before)}, hash = ${hex(previous)}, payload = ${hex(zstdCompressSync(payload))}
         where sequence = ${batch.sequence}`,
      )
    }
    changes.push(`update ledger_head set hash = '\\x${previous!.toString('hex')}'::bytea`)
    const found = await foundAfter(...changes)
    const ofBatches = found.filter(({ table }) => table === 'batches')
    const rewritten = batches.filter((each) => each.sequence >= sequence).map((each) => String(each.sequence))
    // Each rewritten head was published otherwise; the first one is also not what deciding again gives.
    expect(ofBatches.filter(({ kind }) => kind === 'chain').map(({ key }) => key)).toEqual(rewritten)
    expect(ofBatches).toContainEqual({ table: 'batches', key: String(sequence), kind: 'changed' })
    expect(found).toContainEqual({ table: 'postings', key: `${sequence}/${index}/0`, kind: 'changed' })
  })
})

// The last one: what it drops is gone.
describe('months that were dropped', () => {
  it('are proven by their closings, from the archive; what is gone is no finding', async () => {
    const dropped = await ledger.drop()
    expect(dropped.length).toBeGreaterThan(0)
    expect(await ledger.found()).toEqual([])
    const [row] = await rows<{ key: string }>(
      `update closings c set version = c.version + 1 from accounts a where a.account_no = c.account_no
       and (c.period, c.account_no) = (select period, min(account_no) from closings group by period order by period limit 1)
       returning to_char(c.period, 'YYYY-MM') || '/' || a.account_id as key`,
    )
    expect(await ledger.found()).toEqual([{ table: 'closings', key: row!.key, kind: 'changed' }])
  })
})
