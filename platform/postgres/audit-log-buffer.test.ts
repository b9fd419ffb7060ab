/** Notes are gathered and counted; what can't be appended waits, within a bound; what is lost is said. */
import { afterEach, describe, expect, it } from 'vitest'
import { OperatingError } from '#platform/errors.ts'
import type { AuditEntry } from './audit-log.ts'
import { type AccessNote, AuditLogBuffer } from './audit-log-buffer.ts'

const entry = (subject: string): AuditEntry => ({
  atMs: 1,
  actor: 'a',
  action: 'GET /balance/:id',
  subject,
  details: { status: 200 },
})
const read = (subject: string): AccessNote => ({ ...entry(subject), isChange: false })

let closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers) await close()
  closers = []
})

const make = (entriesMax = 100) => {
  const appended: AuditEntry[][] = []
  const failures: unknown[] = []
  const state = { isAway: false, during: () => {} }
  const buffer = new AuditLogBuffer({
    log: {
      append: async (entries) => {
        state.during()
        if (state.isAway) throw new OperatingError('postgres_unreachable', 'away')
        appended.push([...entries])
      },
    },
    flushEveryMs: 1_000_000,
    entriesMax,
    nowMs: () => 7,
    onFailure: (error) => failures.push(error),
  })
  closers.push(() => buffer.close())
  return { buffer, appended, failures, state }
}

describe('the buffer of the audit log', () => {
  it('counts equal notes and keeps the order of the first ones', async () => {
    const { buffer, appended } = make()
    for (const subject of ['x', 'y', 'x', 'x']) buffer.note(read(subject))
    await buffer.flush()
    expect(appended).toEqual([[{ ...entry('x'), details: { status: 200, count: 3 } }, entry('y')]])
    await buffer.flush()
    expect(appended).toHaveLength(1)
  })

  it('keeps each change by itself, and the trace of the first of equal reads', async () => {
    const { buffer, appended } = make()
    for (const traceId of ['t1', 't2']) {
      buffer.note({ ...read('r'), traceId })
      buffer.note({ ...read('w'), traceId, isChange: true })
    }
    await buffer.flush()
    expect(appended.flat().map(({ subject, details }) => `${subject} ${JSON.stringify(details)}`)).toEqual([
      'r {"status":200,"trace_id":"t1","count":2}',
      'w {"status":200,"trace_id":"t1"}',
      'w {"status":200,"trace_id":"t2"}',
    ])
  })

  it('keeps what was refused for whatever reason', async () => {
    const { buffer, appended, failures, state } = make()
    state.during = () => {
      throw new TypeError('unforeseen')
    }
    buffer.note(read('x'))
    await buffer.flush()
    expect(failures).toEqual([new TypeError('unforeseen')])
    expect(buffer.state).toEqual({ waiting: 1, lost: 0 })
    state.during = () => {}
    await buffer.flush()
    expect(appended.flat()).toEqual([entry('x')])
    expect(buffer.state).toEqual({ waiting: 0, lost: 0 })
  })

  it('appends many in parts', async () => {
    const { buffer, appended } = make(5_000)
    for (let n = 0; n < 2_500; n += 1) buffer.note(read(`s${n}`))
    await buffer.flush()
    expect(appended.map((part) => part.length)).toEqual([1_000, 1_000, 500])
  })

  it('keeps what can not be appended, within its bound, and says what was lost', async () => {
    const { buffer, appended, failures, state } = make(3)
    state.isAway = true
    for (const subject of ['a', 'b', 'c', 'd', 'e', 'a']) buffer.note(read(subject))
    await buffer.flush()
    expect(failures).toHaveLength(1)
    state.isAway = false
    await buffer.flush()
    expect(appended).toHaveLength(1)
    expect(appended[0]!.map(({ subject, details }) => `${subject} ${details.count ?? 1}`)).toEqual([
      'a 2',
      'b 1',
      'c 1',
      ' 2',
    ])
    expect(appended[0]!.at(-1)).toMatchObject({ action: 'audit.lost', details: { count: 2 }, atMs: 7 })
  })

  it('loses nothing that is noted while it appends', async () => {
    const { buffer, appended, state } = make()
    buffer.note(read('x'))
    let isFirst = true
    state.during = () => {
      if (isFirst) buffer.note(read('x'))
      isFirst = false
    }
    await buffer.flush()
    expect(appended.flat().map(({ subject }) => subject)).toEqual(['x', 'x'])
  })

  it('appends the rest when it is closed', async () => {
    const { buffer, appended } = make()
    buffer.note(read('x'))
    await buffer.close()
    expect(appended.flat()).toHaveLength(1)
  })
})
