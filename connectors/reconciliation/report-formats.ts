/** The daily report of a pair as CSV (RFC 4180) and as a page that stands for itself: no script, nothing from elsewhere. */
import type { AccountReport, DailyReport } from '#domain/reconciliation/daily-report.ts'

/** One row a figure: account, currency, section, what, side, age, items, amount. */
export function reportCsv(report: DailyReport): string {
  const rows = report.accounts.flatMap((account) =>
    figuresOf(account).map((figure) => [
      report.pair,
      report.date,
      account.account,
      account.currency,
      ...figure,
    ]),
  )
  const head = ['pair', 'date', 'account', 'currency', 'section', 'what', 'side', 'age', 'items', 'amount']
  return [head, ...rows].map((row) => `${row.map(csvField).join(',')}\r\n`).join('')
}

type Figure = readonly [
  section: string,
  what: string,
  side: string,
  age: string,
  items: string,
  amount: string,
]

function figuresOf({ ledger, bank, statement, matched, open, proof }: AccountReport): Figure[] {
  const side = (name: string, { opening, moved, items, closing }: AccountReport['ledger']): Figure[] => [
    ['balance', 'opening', name, '', '', opening],
    ['balance', 'moved', name, '', String(items), moved],
    ['balance', 'closing', name, '', '', closing],
  ]
  const { isExplained, statement: statementProof, ...parts } = proof
  return [
    ...side('ledger', ledger),
    ...side('bank', bank),
    ...Object.entries(statement ?? {}).map(
      ([what, amount]): Figure => ['statement', what, 'bank', '', '', amount ?? ''],
    ),
    ...matched.map(({ pass, items, amount }): Figure => ['matched', pass, '', '', String(items), amount]),
    ...open.map((one): Figure => ['open', one.kind, one.side, one.age, String(one.items), one.amount]),
    ...Object.entries(parts).map(([what, amount]): Figure => ['proof', what, '', '', '', amount]),
    ['proof', 'is_explained', '', '', '', isExplained ? 'yes' : 'no'],
    ['proof', 'statement', 'bank', '', '', statementProof],
  ]
}

/** Text that a spreadsheet would take for a formula is kept from being one. */
const csvField = (text: string): string => {
  const harmless = /^[=+@\t\r]/.test(text) || /^-\D/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

const html = (text: string): string => text.replaceAll(/[&<>"']/g, (sign) => ESCAPES[sign]!)

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1a1a1a}
table{border-collapse:collapse;margin:.5rem 0 1.5rem;width:100%}th,td{border-bottom:1px solid #ddd;padding:.3rem .6rem;text-align:left}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.bad{color:#a40000;font-weight:600}.good{color:#0a6b2d}
h2{margin-top:2.5rem}caption{text-align:left;font-weight:600;padding:.3rem 0}`

/** A page for people. */
export function reportPage(report: DailyReport): string {
  const title = `Reconciliation of ${html(report.pair)}, ${html(report.date)}`
  const accounts = report.accounts.map(accountSection).join('')
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${title}</title><style>${STYLE}</style></head><body><h1>${title}</h1>${accounts || '<p>Nothing up to this day.</p>'}</body></html>
`
}

function accountSection({
  account,
  currency,
  ledger,
  bank,
  statement,
  matched,
  open,
  proof,
}: AccountReport): string {
  return `<h2>${html(account)} (${html(currency)})</h2>${tableOf(
    'Balances',
    ['', 'Opening', 'Moved', 'Items', 'Closing'],
    [
      ['Ledger', ledger.opening, ledger.moved, String(ledger.items), ledger.closing],
      ['Bank, lines', bank.opening, bank.moved, String(bank.items), bank.closing],
      ...(statement === null
        ? []
        : [['Bank, as declared', statement.opening ?? '–', '', '', statement.closing ?? '–']]),
    ],
  )}${tableOf(
    'Matched that day',
    ['Pass', 'Items', 'Amount'],
    matched.map(({ pass, items, amount }) => [pass, String(items), amount]),
  )}${tableOf(
    'Open',
    ['Kind', 'Side', 'Age, days', 'Items', 'Amount'],
    open.map((one) => [one.kind, one.side, one.age, String(one.items), one.amount]),
  )}${tableOf(
    'Proof: ledger less bank',
    ['', 'Amount'],
    [
      ['Closing of the ledger less that of the bank', proof.difference],
      ['open', proof.open],
      ['matched with a later day', proof.transit],
      ['decided by people', proof.settled],
      ['accepted in matches', proof.accepted],
      ['unexplained', proof.unexplained],
    ],
  )}<p class="${proof.isExplained ? 'good' : 'bad'}">${
    proof.isExplained ? 'The difference is explained.' : 'The difference is not explained.'
  }</p><p class="${proof.statement === 'mismatch' ? 'bad' : 'good'}">Statement: ${html(proof.statement)}.</p>`
}

/** The first column is text, and so is one whose rows aren't numbers. */
function tableOf(caption: string, heads: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return `<table><caption>${caption}</caption><tr><td>none</td></tr></table>`
  const isNumber = heads.map((_, at) => at > 0 && rows.every((row) => /^(–|-?\d*\.?\d*)$/.test(row[at]!)))
  const cell = (tag: string, text: string, at: number) =>
    `<${tag}${isNumber[at] === true ? ' class="n"' : ''}>${html(text)}</${tag}>`
  const line = (tag: string, cells: readonly string[]) =>
    `<tr>${cells.map((text, at) => cell(tag, text, at)).join('')}</tr>`
  return `<table><caption>${caption}</caption>${line('th', heads)}${rows.map((row) => line('td', row)).join('')}</table>`
}
