/** What errors mean to a client. */
import { expect, test } from 'vitest'
import { OperatingError } from '#platform/errors.ts'
import { PeriodDroppedError } from '#platform/postgres/queries/history-start.ts'
import { problemOf } from './problem.ts'

test('what was dropped with its period is gone (410), and the reply says from when on the history is kept', () => {
  const problem = problemOf(
    new PeriodDroppedError('the balance was dropped', new Date('2026-04-01T00:00:00Z')),
  )
  expect(problem).toMatchObject({
    status: 410,
    code: 'period_dropped',
    message: 'the balance was dropped: kept is what was recorded from 2026-04-01T00:00:00.000Z on',
    members: { available_from: '2026-04-01T00:00:00.000Z' },
  })
})

test('a question that takes too long is to be narrowed: nobody is told to ask the same again, nor the statement', () => {
  const { status, code, message } = problemOf(new OperatingError('query_timeout', 'select 1 took too long'))
  expect([status, code]).toEqual([503, 'query_timeout'])
  expect(message).toContain('narrow it')
  expect(message).not.toContain('select')
})
