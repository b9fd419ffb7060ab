/** The sum of a run: no failure may get lost between vitest's report and the last line. */
import { expect, test } from 'vitest'
import { countsOfReport, summaryLine } from './verify-counts.ts'

const file = (status: string, ...tests: string[]) => ({
  status,
  assertionResults: tests.map((each) => ({ status: each })),
})
const report = (...testResults: ReturnType<typeof file>[]) => JSON.stringify({ testResults })

test('tests of all files are summed by outcome', () => {
  const text = report(
    file('passed', 'passed', 'pending'),
    file('failed', 'failed', 'passed', 'todo', 'skipped'),
  )
  expect(countsOfReport(text, 1)).toEqual({ passed: 2, failed: 1, skipped: 3 })
})

test.each([
  ['a file that did not load', report(file('failed'), file('passed', 'passed')), 1, 1],
  ['an error outside any test', report(file('passed', 'passed')), 1, 1],
  ['a run that was ended', report(file('passed', 'passed')), null, 1],
  ['no report', undefined, 0, 1],
  ['half a report', '{"testResults":[', 0, 1],
  ['two files that did not load', report(file('failed'), file('failed')), 1, 2],
])('%s counts as failed', (_name, text, exitCode, failed) => {
  expect(countsOfReport(text, exitCode).failed).toBe(failed)
})

test('the line names skipped tests only when there are some', () => {
  expect(summaryLine({ passed: 3, failed: 0, skipped: 0 })).toBe('3 passed, 0 failed')
  expect(summaryLine({ passed: 3, failed: 1, skipped: 2 })).toBe('3 passed, 1 failed, 2 skipped')
})
