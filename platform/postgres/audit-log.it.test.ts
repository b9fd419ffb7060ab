/** The audit log on the real Postgres: one chain whoever appends; each kind of tampering shows. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { testConfiguration } from '#infra/local/test-names.ts'
import { LedgerFixture } from '#processors/testing/ledger-fixture.ts'
import { type AuditEntry, AuditLog } from './audit-log.ts'
import { type AuditLogAnchor, checkAuditLog } from './audit-log-check.ts'

const configuration = testConfiguration('auditlog')
let fixture: LedgerFixture
let log: AuditLog

const entry = (subject: string, changes: Partial<AuditEntry> = {}): AuditEntry => ({
  atMs: 1_767_225_600_000,
  actor: 'someone',
  action: 'GET /accounts/:id',
  subject,
  details: { status: 200 },
  ...changes,
})

const findings = async (anchor: AuditLogAnchor | null = null) => {
  const { findings: found } = await checkAuditLog(log, anchor)
  return found.map(({ table, kind, key }) => `${kind} ${table === 'audit_log' ? '' : `${table} `}${key}`)
}
const newest = async () => (await log.readNewest({}, 1))[0]!

/** As somebody with the rights of the database's owner would. */
const tamper = async (text: string): Promise<void> => {
  await fixture.pool.query(
    `alter table audit_log disable trigger all; alter table audit_log_head disable trigger all; ${text};
     alter table audit_log enable trigger all; alter table audit_log_head enable trigger all`,
  )
}

const EMPTY = `truncate audit_log, audit_log_head;
  insert into audit_log_head (seq, hash) values (0, decode(repeat('00', 32), 'hex'))`

beforeAll(async () => {
  fixture = await LedgerFixture.create(configuration)
  log = new AuditLog(fixture.pool)
})
afterAll(() => fixture.close())
beforeEach(async () => {
  await tamper(EMPTY)
  await log.append([1, 2, 3, 4, 5].map((n) => entry(`account-${n}`)))
})

describe('the audit log', () => {
  it('is one chain, however many append at the same time', async () => {
    await Promise.all(Array.from({ length: 20 }, (_, n) => log.append([entry(`a${n}`), entry(`b${n}`)])))
    const { hash } = await newest()
    expect(await checkAuditLog(log)).toEqual({ entries: 45n, seq: 45n, hash, findings: [] })
  })

  it('is found by actor, action and subject', async () => {
    await log.append([entry('rule', { actor: 'admin', action: 'cli rules set' })])
    expect((await log.readNewest({ actor: 'admin' }, 10)).map(({ seq }) => seq)).toEqual([6n])
    expect((await log.readNewest({ action: 'rules' }, 10)).map(({ seq }) => seq)).toEqual([6n])
    expect((await log.readNewest({ subject: 'account-2' }, 10)).map(({ seq }) => seq)).toEqual([2n])
    expect((await log.readNewest({ before: 3n }, 10)).map(({ seq }) => seq)).toEqual([2n, 1n])
  })

  it('never holds a card number or a password, nor what Postgres cannot store', async () => {
    await log.append([
      entry('card 4111 1111 1111 1111', {
        actor: '4111111111111111',
        details: { note: 'a\0b 4111111111111111', url: 'postgres://owner:s3cret@db:5432/x' },
      }),
    ])
    const { actor, subject, details } = await newest()
    for (const text of [actor, subject, details])
      expect(text.replaceAll(/\D/g, '')).not.toContain('4111111111111111')
    expect(JSON.parse(details)).toMatchObject({ url: 'postgres://owner:***@db:5432/x' })
    expect(await findings()).toEqual([])
  })

  it('hashes what comes back from the table, also where a text was cut inside a character', async () => {
    await log.append([entry('x', { actor: `${'a'.repeat(127)}\u{1F600}`, action: '\ud800' })])
    expect(await findings()).toEqual([])
  })

  it('refuses to be changed', async () => {
    for (const text of [
      'update audit_log set actor = $$x$$',
      'delete from audit_log',
      'truncate audit_log',
      'delete from audit_log_head',
      'truncate audit_log_head',
    ]) {
      await expect(fixture.pool.query(text)).rejects.toThrow('append-only')
    }
  })

  const put = (seq: number, previous: number) =>
    `insert into audit_log select ${seq}, at, actor, action, 'put in', details, p.hash, sha256('')
       from audit_log a, (select hash from audit_log where seq = ${previous}) p where a.seq = 1`
  it.each([
    [`update audit_log set actor = 'nobody' where seq = 3`, ['changed 3']],
    [`update audit_log set details = '{}' where seq = 5`, ['changed 5']],
    [`update audit_log set at = '2020-01-01T00:00:00.000Z' where seq = 1`, ['changed 1']],
    [`delete from audit_log where seq = 3`, ['removed 3']],
    [`delete from audit_log where seq = 1`, ['removed 1']],
    [`delete from audit_log where seq = 5`, ['removed 5']],
    [`delete from audit_log where seq between 2 and 4`, ['removed 2-4']],
    ['truncate audit_log', ['removed 1-5']],
    [`update audit_log set hash = decode(repeat('00', 32), 'hex') where seq = 2`, ['changed 2', 'chain 3']],
    [
      `update audit_log a set subject = b.subject from audit_log b where a.seq in (2, 3) and b.seq = 5 - a.seq`,
      ['changed 2', 'changed 3'],
    ],
    [put(6, 5), ['changed 6', 'added 6']],
    [put(0, 1), ['added 0']],
    [put(-7, 1), ['added -7']],
    [
      `update audit_log set seq = seq + 10 where seq > 3; update audit_log set seq = seq - 9 where seq > 10; ${put(4, 3)}`,
      ['changed 4', 'changed 5', 'added 4', 'changed 6', 'added 6'],
    ],
    ['truncate audit_log_head', ['removed audit_log_head head']],
    [`update audit_log_head set hash = sha256('')`, ['chain audit_log_head head']],
    ['update audit_log_head set seq = 3', ['added 4-5']],
    ['update audit_log_head set seq = 7', ['removed 6-7']],
  ])('shows tampering: %s', async (text, expected) => {
    await tamper(text)
    expect((await findings()).toSorted()).toEqual(expected.toSorted())
  })

  it('goes on behind what somebody removed or added at its end, and the trace of it stays', async () => {
    await tamper('delete from audit_log where seq > 3')
    await log.append([entry('later')])
    expect((await newest()).seq).toBe(6n)
    expect(await findings()).toEqual(['removed 4-5'])
    await tamper(put(7, 6))
    await log.append([entry('later still')])
    expect((await newest()).seq).toBe(8n)
    expect((await findings()).toSorted()).toEqual(['added 7', 'changed 7', 'removed 4-5'])
  })

  it('takes nothing more without its head', async () => {
    await tamper('truncate audit_log_head')
    await expect(log.append([entry('later')])).rejects.toMatchObject({ code: 'audit_log_damaged' })
  })

  it('shows an end that was written anew, head and all, by what was noted elsewhere', async () => {
    const anchored = (await log.readAfter(3n, 1))[0]!
    const anchor = { seq: anchored.seq, hash: anchored.hash.toString('hex') }
    expect(await findings(anchor)).toEqual([])
    await tamper(`delete from audit_log where seq > 3;
      update audit_log_head h set seq = a.seq, hash = a.hash from audit_log a where a.seq = 3`)
    expect(await findings()).toEqual([])
    expect(await findings(anchor)).toEqual(['removed 4'])
    await log.append([entry('another'), entry('history')])
    expect(await findings()).toEqual([])
    expect(await findings(anchor)).toEqual(['chain 4'])
  })

  it('does not wait for ever for who holds its head', async () => {
    const client = await fixture.pool.connect()
    // The server ends it: that is what is tested.
    client.on('error', () => undefined)
    await client.query(
      `begin; set local idle_in_transaction_session_timeout = '300ms'; select from audit_log_head for update`,
    )
    await log.append([entry('later')])
    expect((await newest()).seq).toBe(6n)
    client.release(true)
  })

  it('is put back from what was kept elsewhere, and only what follows', async () => {
    const kept = await log.readAfter(0n, 100)
    await tamper(`delete from audit_log where seq > 2;
      update audit_log_head h set seq = a.seq, hash = a.hash from audit_log a where a.seq = 2`)
    expect(await log.restore(kept)).toBe(3)
    expect(await log.readAfter(0n, 100)).toEqual(kept)
    expect(await log.restore(kept)).toBe(0)
    expect(await findings()).toEqual([])
    await tamper(EMPTY)
    await log.append([entry('another past')])
    expect(await log.restore(kept)).toBeNull()
    expect(await findings()).toEqual([])
  })
})
