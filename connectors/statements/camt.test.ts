/** camt.052, 053 and 054 by the rules of ISO 20022, and documents that are none, or hostile. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatDecimal, fromMinor } from '#domain/statements/decimal.ts'
import { amounts, readText } from '#domain/statements/testing/read.ts'
import { CamtParser } from './xml.ts'

const read = (text: string, cuts?: readonly number[]) => readText((sink) => new CamtParser(sink), text, cuts)

const HEADER = '<GrpHdr><MsgId>M</MsgId><CreDtTm>2026-01-02T00:00:00</CreDtTm></GrpHdr>'
const ACCOUNT = '<Acct><Id><IBAN>DE02120300000000202051</IBAN></Id><Ccy>EUR</Ccy></Acct>'
const balance = (code: string, amount: string, more = '<CdtDbtInd>CRDT</CdtDbtInd>', currency = 'EUR') =>
  `<Bal><Tp><CdOrPrtry><Cd>${code}</Cd></CdOrPrtry></Tp><Amt Ccy="${currency}">${amount}</Amt>${more}<Dt><Dt>2026-01-02</Dt></Dt></Bal>`
const entry = (
  amount: string,
  { mark = 'CRDT', status = '<Sts>BOOK</Sts>', more = '', currency = 'EUR' } = {},
) =>
  `<Ntry><Amt Ccy="${currency}">${amount}</Amt><CdtDbtInd>${mark}</CdtDbtInd>${status}<BookgDt><Dt>2026-01-02</Dt></BookgDt>${more}</Ntry>`
const statement = (content: string, id = 'S1') => `<Stmt><Id>${id}</Id>${ACCOUNT}${content}</Stmt>`
const wrap = (content: string, namespace = ' xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"') =>
  `<?xml version="1.0"?>\n<Document${namespace}><BkToCstmrStmt>${HEADER}${content}</BkToCstmrStmt></Document>\n`
const readOne = (content: string) => read(wrap(statement(content)))

test('a statement is proven from its balances and booked entries', () => {
  const { format, error, statements } = readOne(
    balance('OPBD', '10') + balance('CLBD', '12.5') + entry('5.5') + entry('3', { mark: 'DBIT' }),
  )
  expect({ format, error }).toEqual({ format: 'camt.053.001.08', error: null })
  expect(statements).toMatchObject([
    {
      id: 'S1',
      account: 'DE02120300000000202051',
      currency: 'EUR',
      opening: '10',
      closing: '12.5',
      entries: 2,
    },
  ])
  expect(statements[0]).toMatchObject({ sumCredits: '5.5', sumDebits: '3', proof: 'ok' })
  expect(statements[0]!.lines[1]!.path).toBe('/Document/BkToCstmrStmt/Stmt[1]/Ntry[2]')
})

test('pending, future and information entries are shown, not booked; an absent status is booked', () => {
  const statuses = [
    '<Sts>PDNG</Sts>',
    '<Sts><Cd>INFO</Cd></Sts>',
    '<Sts><Cd>FUTR</Cd></Sts>',
    '<Sts><Prtry>X</Prtry></Sts>',
    '',
  ]
  const { statements } = readOne(statuses.map((status) => entry('1', { status })).join(''))
  expect(statements[0]).toMatchObject({ entries: 1, unbooked: 4, sumCredits: '1' })
  expect(statements[0]!.lines.map(({ status }) => status)).toEqual([
    'pending',
    'information',
    'future',
    'information',
    'booked',
  ])
})

test('a reversal keeps the direction that the indicator says', () => {
  const { statements } = readOne(
    entry('7', { mark: 'DBIT', more: '' }).replace('<Sts>', '<RvslInd>true</RvslInd><Sts>'),
  )
  expect(statements[0]!.lines[0]).toMatchObject({ reversal: true })
  expect(amounts(statements[0])).toEqual(['-7'])
})

test('a batch is one booked entry with its details', () => {
  const detail = (id: string, amount: string, mark = '') =>
    `<TxDtls><Refs><EndToEndId>${id}</EndToEndId><UETR>u-${id}</UETR></Refs><Amt Ccy="EUR">${amount}</Amt>${mark}
    <RltdPties><Dbtr><Pty><Nm>Ann &amp; Co</Nm></Pty></Dbtr><DbtrAcct><Id><IBAN>DE1</IBAN></Id></DbtrAcct></RltdPties>
    <RmtInf><Ustrd>one</Ustrd><Ustrd>two</Ustrd><Strd><CdtrRefInf><Ref>RF18</Ref></CdtrRefInf></Strd></RmtInf></TxDtls>`
  const more = `<NtryDtls><Btch><NbOfTxs>2</NbOfTxs></Btch>${detail('a', '4')}${detail('b', '2', '<CdtDbtInd>DBIT</CdtDbtInd>')}</NtryDtls>`
  const { statements } = readOne(entry('2', { more }))
  expect(statements[0]).toMatchObject({ entries: 1, sumCredits: '2' })
  const details = statements[0]!.lines[0]!.details
  expect(details.map(({ amount }) => formatDecimal(amount!, 0))).toEqual(['4', '-2'])
  expect(details[0]).toMatchObject({
    endToEndId: 'a',
    uetr: 'u-a',
    counterpartyName: 'Ann & Co',
    counterpartyAccount: 'DE1',
    remittance: 'one two',
    creditorReference: 'RF18',
  })
})

test('older versions: the amount below AmtDtls, the party without Pty, the code of the bank', () => {
  const more = `<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>ICDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd><NtryDtls><TxDtls>
    <AmtDtls><TxAmt><Amt Ccy="USD">3</Amt></TxAmt></AmtDtls><RltdPties><Cdtr><Nm>Bob</Nm></Cdtr></RltdPties>
    <RltdAgts><CdtrAgt><FinInstnId><BIC>BANKDEFF</BIC></FinInstnId></CdtrAgt></RltdAgts></TxDtls></NtryDtls>`
  const { format, statements } = read(
    wrap(
      statement(entry('3', { mark: 'DBIT', more })),
      ' xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"',
    ),
  )
  expect(format).toBe('camt.053.001.02')
  const line = statements[0]!.lines[0]!
  expect(line.code).toBe('PMNT/ICDT/ESCT')
  expect(line.details[0]).toMatchObject({
    currency: 'USD',
    counterpartyName: 'Bob',
    counterpartyAgent: 'BANKDEFF',
  })
})

describe('balances', () => {
  const closingOf = (content: string) => {
    const read053 = readOne(content).statements[0]!
    return [read053.opening, read053.closing, read053.proof]
  }

  test.each([
    [
      'opening before previous closing',
      balance('PRCD', '1') + balance('OPBD', '2') + balance('CLBD', '2'),
      ['2', '2', 'ok'],
    ],
    ['previous closing as opening', balance('PRCD', '1') + balance('CLBD', '1'), ['1', '1', 'ok']],
    [
      'available balances say nothing',
      balance('OPAV', '1') + balance('CLAV', '1') + balance('XPCD', '3'),
      [null, null, 'n/a'],
    ],
    ['a first page', balance('OPBD', '1') + balance('ITBD', '1'), ['1', '1', 'ok']],
    ['a middle page', balance('ITBD', '1') + balance('ITBD', '2'), ['1', '2', 'mismatch']],
    ['an interim balance alone', balance('ITBD', '3'), [null, null, 'n/a']],
    ['a last page', balance('ITBD', '3') + balance('CLBD', '3'), ['3', '3', 'ok']],
    [
      'a debit balance',
      balance('OPBD', '3', '<CdtDbtInd>DBIT</CdtDbtInd>') + balance('CLBD', '3'),
      ['-3', '3', 'mismatch'],
    ],
    ['two currencies', balance('OPBD', '3') + balance('CLBD', '3', undefined, 'USD'), ['3', '3', 'mismatch']],
  ])('%s', (_name, content, expected) => {
    expect(closingOf(content)).toEqual(expected)
  })

  test('one without direction is read as a credit, with a warning', () => {
    const { statements, warnings } = readOne(balance('OPBD', '3', ''))
    expect(statements[0]!.opening).toBe('3')
    expect(warnings).toMatchObject([{ code: 'tag_missing', path: '/Document/BkToCstmrStmt/Stmt[1]/Bal[1]' }])
  })

  test('an interim balance closes a report of the running day', () => {
    const report = `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.052.001.08"><BkToCstmrAcctRpt>${HEADER}<Rpt><Id>R</Id>${ACCOUNT}${balance('ITBD', '4')}</Rpt></BkToCstmrAcctRpt></Document>`
    const { format, statements } = read(report)
    expect(format).toBe('camt.052.001.08')
    expect(statements[0]).toMatchObject({ opening: null, closing: '4', proof: 'n/a' })
  })
})

test('several statements, without namespace, in an envelope, in a prefix', () => {
  const both = statement(entry('1')) + statement(entry('2'), 'S2')
  expect(read(wrap(both, '')).format).toBe('camt.053')
  expect(read(wrap(both, '')).statements.map(({ id, sumCredits }) => [id, sumCredits])).toEqual([
    ['S1', '1'],
    ['S2', '2'],
  ])
  const enveloped = `<Envelope><AppHdr><Fr/></AppHdr>${wrap(both).replace(/<\?xml.*?\?>\n/, '')}</Envelope>`
  expect(read(enveloped)).toMatchObject({ error: null, format: 'camt.053.001.08' })
  expect(read(enveloped).statements).toHaveLength(2)
  const prefixed = wrap(both, ' xmlns:n="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"').replace(
    /<(\/?)([A-Z])/g,
    '<$1n:$2',
  )
  expect(read(prefixed).statements).toHaveLength(2)
})

test('an envelope with several documents, which must be of one kind', () => {
  const document = (id: string, version = '08') =>
    wrap(
      statement(entry('1'), id),
      ` xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.${version}"`,
    ).replace(/<\?xml.*?\?>\n/, '')
  const envelope = (content: string) => read(`<Batch>${content}</Batch>`)
  expect(envelope(document('S1') + document('S2')).statements.map(({ id }) => id)).toEqual(['S1', 'S2'])
  expect(envelope(document('S1') + document('S2', '04')).error).toMatchObject({ code: 'tag_unexpected' })
})

test('declared totals are compared with the booked entries', () => {
  const summary = (sum: string) =>
    `<TxsSummry><TtlCdtNtries><NbOfNtries>1</NbOfNtries><Sum>${sum}</Sum></TtlCdtNtries></TxsSummry>`
  expect(readOne(summary('1.00') + entry('1')).statements[0]!.controls).toBe('ok')
  expect(readOne(summary('1.01') + entry('1')).statements[0]!.controls).toBe('mismatch')
})

describe('refused with a code and a place', () => {
  const good = wrap(statement(entry('1')))

  test.each([
    ['cut in the middle', good.slice(0, good.length / 2), 'markup_malformed'],
    ['without its last tag', good.trimEnd().slice(0, -'</Document>'.length), 'markup_malformed'],
    ['wrongly nested', good.replace('</Ntry></Stmt>', '</Stmt></Ntry>'), 'markup_malformed'],
    ['text behind the root', `${good}x`, 'markup_malformed'],
    ['an unknown entity', good.replace('<Id>S1', '<Id>&nope;'), 'markup_malformed'],
    ['an unbound prefix', good.replace('<Id>S1</Id>', '<x:Id>S1</x:Id>'), 'markup_malformed'],
    ['a control character', good.replace('<Id>S1', '<Id>\u0000'), 'markup_malformed'],
    ['without a group header', good.replace(HEADER, ''), 'tag_missing'],
    ['without a statement', wrap(''), 'tag_missing'],
    ['without an id', good.replace('<Id>S1</Id>', ''), 'tag_missing'],
    ['without an account', good.replace(ACCOUNT, ''), 'tag_missing'],
    ['without an account number', good.replace(/<IBAN>.*?<\/IBAN>/, ''), 'tag_missing'],
    ['an entry without amount', good.replace(/<Amt.*?<\/Amt>/, ''), 'tag_missing'],
    ['an entry without currency', good.replace(' Ccy="EUR"', ''), 'tag_missing'],
    ['an entry without direction', good.replace('<CdtDbtInd>CRDT</CdtDbtInd>', ''), 'tag_missing'],
    ['a direction that is none', good.replace('CRDT', 'CREDIT'), 'value_invalid'],
    ['a status that is none', good.replace('BOOK', 'DONE'), 'value_invalid'],
    ['a status of an object', good.replace('BOOK', 'constructor'), 'value_invalid'],
    ['a negative amount', good.replace('>1<', '>-1<'), 'value_invalid'],
    ['an amount with a comma', good.replace('>1<', '>1,00<'), 'value_invalid'],
    ['an amount in words', good.replace('>1<', '>one<'), 'value_invalid'],
    ['an empty amount', good.replace('>1<', '><'), 'value_invalid'],
    ['a currency that is none', good.replace('"EUR"', '"euro"'), 'value_invalid'],
    [
      'a day that is none',
      good.replace('<BookgDt><Dt>2026-01-02', '<BookgDt><Dt>2026-02-30'),
      'value_invalid',
    ],
    [
      'the account behind the entries',
      wrap(`<Stmt><Id>1</Id>${ACCOUNT}${entry('1')}${ACCOUNT}</Stmt>`),
      'tag_unexpected',
    ],
    ['two accounts', wrap(`<Stmt><Id>1</Id>${ACCOUNT}${ACCOUNT}</Stmt>`), 'tag_unexpected'],
    ['a report in a statement message', good.replaceAll('Stmt>', 'Rpt>'), 'tag_unexpected'],
    [
      'another message under the namespace',
      good.replaceAll('BkToCstmrStmt', 'BkToCstmrAcctRpt'),
      'tag_unexpected',
    ],
    ['a payment order', good.replace('camt.053.001.08', 'pain.001.001.09'), 'format_unknown'],
    ['version 01', good.replace('053.001.08', '053.001.01'), 'version_unsupported'],
    ['version 15', good.replace('053.001.08', '053.001.15'), 'version_unsupported'],
    ['a page of the web', '<html><body>login</body></html>', 'format_unknown'],
  ])('%s', (_name, text, code) => {
    const { error } = read(text)
    expect(error?.code).toBe(code)
    expect(error?.message).not.toBe('')
  })

  test('the place is the line, and the path where there is one', () => {
    const text = wrap(`\n${statement(`\n${entry('1')}\n${entry('x')}`)}`)
    expect(read(text).error).toMatchObject({ line: 5, path: '/Document/BkToCstmrStmt/Stmt[1]/Ntry[2]/Amt' })
  })

  test.each([
    ['an external entity', '<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/passwd">]>'],
    ['an external document type', '<!DOCTYPE d SYSTEM "http://127.0.0.1:9/x.dtd">'],
    [
      'entities that multiply',
      `<!DOCTYPE d [<!ENTITY a "ha">${Array.from({ length: 20 }, (_, n) => `<!ENTITY b${n} "&a;&a;&a;">`).join('')}]>`,
    ],
    ['a parameter entity', '<!DOCTYPE d [<!ENTITY % p SYSTEM "file:///x"> %p;]>'],
  ])('%s', (_name, doctype) => {
    const hostile = good.replace('\n<Document', `\n${doctype}\n<Document`).replace('<Id>S1', '<Id>&e;')
    expect(read(hostile).error).toMatchObject({ code: 'doctype_refused' })
  })

  test('a text, or a nesting, without end', () => {
    expect(read(good.replace('S1', 'x'.repeat(5_000_000))).error?.code).toBe('statement_too_large')
    expect(read(wrap(`<Stmt>${'<a>'.repeat(10_000)}`)).error?.code).toBe('statement_too_large')
  })
})

test('any cut of the text gives the same', () => {
  const text = wrap(
    statement(
      `${balance('OPBD', '1.00')}${balance('CLBD', '3')}${entry('2', { more: '<AddtlNtryInf>&#x20AC; &amp; <![CDATA[<x>]]> 😀</AddtlNtryInf>' })}`,
    ) + statement(entry('1', { status: '<Sts>PDNG</Sts>' }), 'S2'),
  )
  const whole = read(text)
  expect(whole.error).toBeNull()
  expect(whole.statements[0]!.lines[0]!.text).toBe('€ & <x> 😀')
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 60 }), { maxLength: 40 }), (cuts) => {
      expect(read(text, cuts)).toEqual(whole)
    }),
  )
})

test('what is written is read back, and proven', () => {
  const amount = fc.record({
    minor: fc.bigInt(0n, 10n ** 15n),
    scale: fc.integer({ min: 0, max: 5 }),
    credit: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(amount, { maxLength: 20 }), (entries) => {
      const content = entries.map(({ minor, scale, credit }) =>
        entry(formatDecimal(fromMinor(minor, scale), scale), { mark: credit ? 'CRDT' : 'DBIT' }),
      )
      const { statements, error } = readOne(content.join(''))
      expect(error).toBeNull()
      expect(amounts(statements[0])).toEqual(
        entries.map(({ minor, scale, credit }) =>
          formatDecimal(fromMinor(credit ? minor : -minor, scale), 0),
        ),
      )
    }),
  )
})
