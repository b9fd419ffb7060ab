/** The report as CSV and page: every figure is there, and nothing that came with the data becomes markup or a formula. */
import { expect, test } from 'vitest'
import { dailyReport } from '#domain/reconciliation/daily-report.ts'
import { reportCsv, reportPage } from './report-formats.ts'

const report = dailyReport({
  pair: 'p',
  date: '2026-03-02',
  sums: [
    {
      account: '=1+1,"<b>"',
      currency: 'EUR',
      side: 'bank',
      isOfDay: true,
      state: 'open',
      pass: null,
      kind: 'fee',
      ageDays: 7,
      items: 2,
      amountMinor: -1_234n,
    },
  ],
  statements: [],
  accepted: [],
})

test('CSV', () => {
  const lines = reportCsv(report).split('\r\n')
  expect(lines[0]).toBe('pair,date,account,currency,section,what,side,age,items,amount')
  expect(lines).toContain(`p,2026-03-02,"'=1+1,""<b>""",EUR,open,fee,bank,6-30,2,-12.34`)
  expect(lines).toContain(`p,2026-03-02,"'=1+1,""<b>""",EUR,proof,is_explained,,,,yes`)
})

test('page', () => {
  const page = reportPage(report)
  expect(page).toContain('=1+1,&quot;&lt;b&gt;&quot; (EUR)')
  expect(page).not.toContain('<b>')
  expect(page).toContain(
    '<td>fee</td><td>bank</td><td>6-30</td><td class="n">2</td><td class="n">-12.34</td>',
  )
  expect(page).toContain('The difference is explained.')
  expect(reportPage({ ...report, accounts: [] })).toContain('Nothing up to this day.')
})
