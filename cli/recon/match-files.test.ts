/** `recon match` on files as people have them: items, statements of a format, settings of a pair, and what is wrong with any of them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { mt940OfDay } from '#domain/statements/testing/mt940.ts'
import { parseItem } from '#connectors/reconciliation/item-file.ts'
import { parsePair } from '#connectors/reconciliation/pair-file.ts'
import { matchFiles, reportText } from './match-files.ts'

const folder = mkdtempSync(join(tmpdir(), 'recon-'))
afterAll(() => rmSync(folder, { recursive: true }))

function file(name: string, content: string): string {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

const signal = new AbortController().signal
const lines = (...items: object[]) => `${items.map((item) => JSON.stringify(item)).join('\n')}\n`
const item = (id: string, amount: string, more: object = {}) => ({
  id,
  account: 'nostro',
  currency: 'EUR',
  amount,
  valueDate: '2026-03-03',
  ...more,
})

const statements = [
  mt940OfDay(2, '100,00', '112,50', ':61:2603020302C12,50NTRFINV-0001//B1'),
  mt940OfDay(3, '112,50', '110,00', ':61:2603030303D2,50NTRFINV-0002//B2'),
  mt940OfDay(4, '110,00', '117,00', ':61:2603040304C7,00NTRFNONREF//B3'),
]

test('ledger items against statements: matches, breaks, and a gap', async () => {
  const ledger = file(
    'ledger.jsonl',
    lines(
      item('L1', '12.50', { endToEndId: 'INV-0001', valueDate: '2026-03-02' }),
      item('L2', '-2.50', { endToEndId: 'inv-0002' }),
      item('L3', '4.00', { endToEndId: 'INV-0003' }),
    ),
  )
  const pair = file('pair.json', JSON.stringify({ accounts: { DE02120300000000202051: 'nostro' } }))
  const bank = statements.map((content, at) => file(`s${at}.sta`, content))
  const options = {
    ledger: [ledger],
    bank: [...bank, bank[0]!],
    pair,
    today: '2026-03-20',
    matches: true,
    open: true,
  }
  const report = await matchFiles(options, null, signal)
  expect(report).toMatchObject({
    items: { ledger: 3, bank: 3 },
    repeated: 1,
    matchesByPass: { 'reference:endToEndId': 2 },
    breaksByKind: { missing_in_bank: 1, missing_in_ledger: 1 },
    statementFindings: [],
  })
  expect(report.breaks.find(({ side }) => side === 'bank')).toMatchObject({
    amount: '7.00',
    provenance: `${bank[2]}:5`,
  })
  expect(reportText(report)).toContain('3 of the ledger, 3 of the bank: 66.67 % matched, 2 open')

  const gap = await matchFiles({ ledger: [ledger], bank: [bank[0]!, bank[2]!], pair }, null, signal)
  expect(gap.statementFindings).toMatchObject([{ kind: 'statement_gap', missing: '-2.50' }])
})

test('the same statement on both sides agrees with itself', async () => {
  const same = file('same.sta', statements[0]!)
  const report = await matchFiles({ ledger: [same], bank: [same] }, null, signal)
  expect(report).toMatchObject({ matchedItems: 2, breaks: [] })
})

test('a file that is no statement, and a line that is no item', async () => {
  const wrong = file('wrong.sta', 'hello')
  await expect(matchFiles({ ledger: [wrong], bank: [] }, null, signal)).rejects.toThrow(/format_unknown/)
  const ledger = file('bad.jsonl', lines(item('L1', '1.00'), item('L2', '1.005')))
  await expect(matchFiles({ ledger: [ledger], bank: [] }, null, signal)).rejects.toThrow(
    /bad\.jsonl, line 2: expected amount/,
  )
})

test.each([
  ['[]', 'a JSON object'],
  ['{"id":"x"}', 'id and account as texts'],
  [JSON.stringify(item('x', '1.00', { currency: 'XXX' })), 'currency as an ISO 4217 code'],
  [JSON.stringify(item('x', '0.00')), 'amount as decimal text with up to 2 decimals, not zero'],
  [JSON.stringify(item('x', '1.00', { valueDate: '2026-02-30' })), 'bookingDate or valueDate as yyyy-mm-dd'],
  [JSON.stringify({ ...item('x', '1.00'), valueDate: undefined }), 'bookingDate or valueDate as yyyy-mm-dd'],
  [JSON.stringify(item('x', '1.00', { amout: '1' })), 'no key "amout"'],
  [JSON.stringify(item('x', '1.00', { uetr: 5 })), 'uetr as text of up to 4096 characters'],
])('%s: expected %s', (line, expected) => {
  expect(parseItem(line, 'bank', '')).toBe(expected)
})

test('settings of a pair: limits of passes by name, and every wrong key named', () => {
  const settings = parsePair(
    JSON.stringify({
      tolerance: { absoluteMinor: '2', feesMinor: ['150'] },
      passes: { 'amount:date': { off: true }, 'reference:uetr': { windowDays: 30 } },
      breaks: { timingDays: 3 },
    }),
  )
  expect(settings.passes.map(({ name }) => name)).not.toContain('amount:date')
  expect(settings.passes[0]).toMatchObject({ name: 'reference:uetr', windowDays: 30 })
  expect(settings.breaks.timingDays).toBe(3)
  expect(() =>
    parsePair(JSON.stringify({ passes: { 'amount:dat': { off: true } }, tolerance: { absoluteMinor: 2 } })),
  ).toThrow(/absoluteMinor[\s\S]*amount:dat: expected no such key/)
})
