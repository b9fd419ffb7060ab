/** Counts what vitest reports, with nothing lost: a file that did not load or an error outside any test is a failure too. */

export interface Counts {
  passed: number
  failed: number
  skipped: number
}

/** The part of vitest's JSON report (Jest's format) that is read here. */
interface Report {
  testResults: { status: string; assertionResults: { status: string }[] }[]
}

export function addCounts(left: Counts, right: Counts): Counts {
  return {
    passed: left.passed + right.passed,
    failed: left.failed + right.failed,
    skipped: left.skipped + right.skipped,
  }
}

/**
 * Sums one report.
 *
 * @param text The JSON report; undefined when none was written, which is a failure.
 * @param exitCode Of vitest; anything but 0 is at least one failure, whatever the report says.
 */
export function countsOfReport(text: string | undefined, exitCode: number | null): Counts {
  const report = text === undefined ? undefined : parse(text)
  if (report === undefined) return { passed: 0, failed: 1, skipped: 0 }
  const counts = report.testResults.map(countsOfFile).reduce(addCounts, { passed: 0, failed: 0, skipped: 0 })
  if (exitCode !== 0 && counts.failed === 0) counts.failed = 1
  return counts
}

function parse(text: string): Report | undefined {
  try {
    return JSON.parse(text) as Report
  } catch {
    return undefined
  }
}

function countsOfFile(file: Report['testResults'][number]): Counts {
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 }
  for (const { status } of file.assertionResults) {
    if (status === 'passed') counts.passed += 1
    else if (status === 'failed') counts.failed += 1
    else counts.skipped += 1
  }
  if (file.status === 'failed' && counts.failed === 0) counts.failed = 1
  return counts
}

/** `N passed, N failed`, and `, N skipped` when any. */
export function summaryLine({ passed, failed, skipped }: Counts): string {
  const line = `${passed} passed, ${failed} failed`
  return skipped === 0 ? line : `${line}, ${skipped} skipped`
}
