/** OFX 1.x and 2.x: values with and without closing tags, all kinds of statements, and what is no such file. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatDecimal, fromMinor } from '../decimal.ts'
import { amounts, readText } from '../testing/read.ts'
import { OfxParser } from './reader.ts'

const read = (text: string, cuts?: readonly number[]) => readText((sink) => new OfxParser(sink), text, cuts)

const SGML = 'OFXHEADER:100\nDATA:OFXSGML\nVERSION:102\nENCODING:USASCII\nCHARSET:1252\n\n'
const XML = '<?xml version="1.0"?>\n<?OFX OFXHEADER="200" VERSION="211"?>\n'
const transaction = (amount: string, more = '') =>
  `<STMTTRN><TRNTYPE>DEBIT<DTPOSTED>20260102120000[-5:EST]<TRNAMT>${amount}<FITID>F1<NAME>Ann &amp; Co<MEMO>for A&B${more}</STMTTRN>`
const bank = (transactions: string, balance = '<LEDGERBAL><BALAMT>10.5<DTASOF>20260103</LEDGERBAL>') =>
  `<OFX><SIGNONMSGSRSV1><SONRS><STATUS><CODE>0<SEVERITY>INFO</STATUS></SONRS></SIGNONMSGSRSV1>
<BANKMSGSRSV1><STMTTRNRS><TRNUID>T1<STATUS><CODE>0<SEVERITY>INFO</STATUS><STMTRS><CURDEF>EUR
<BANKACCTFROM><BANKID>B<ACCTID>A1<ACCTTYPE>CHECKING</BANKACCTFROM>
<BANKTRANLIST><DTSTART>20260101<DTEND>20260103${transactions}</BANKTRANLIST>${balance}</STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>\n`
/** The same with closing tags behind every value, as XML has them. */
const closed = (text: string) => text.replace(/<([A-Z0-9]+)>([^<>\s][^<>]*?)(\s*)(?=<)/g, '<$1>$2</$1>$3')

test('a bank statement, as SGML and as XML', () => {
  const text = bank(transaction('-1.50') + transaction('2,25'))
  const sgml = read(SGML + text)
  const xml = read(XML + closed(text))
  expect(xml.statements.map(({ lines: _lines, ...statement }) => statement)).toEqual(
    sgml.statements.map(({ lines: _lines, ...statement }) => statement),
  )
  expect(closed(text)).toContain('</TRNAMT>')
  expect(sgml).toMatchObject({ format: 'OFX', error: null, warnings: [], rejects: [] })
  expect(sgml.statements[0]).toMatchObject({
    id: 'T1',
    account: 'A1',
    currency: 'EUR',
    opening: null,
    closing: '10.5',
    entries: 2,
    sumCredits: '2.25',
    sumDebits: '1.5',
    proof: 'n/a',
  })
  expect(sgml.statements[0]!.lines[0]).toMatchObject({
    bookingDate: '2026-01-02',
    bankReference: 'F1',
    code: 'DEBIT',
    text: 'Ann & Co\nfor A&B',
    path: '/OFX/BANKMSGSRSV1/STMTTRNRS/STMTRS/BANKTRANLIST/STMTTRN[1]',
  })
})

test('card and investment statements beside a bank statement; pending transactions are not booked', () => {
  const card = `<CREDITCARDMSGSRSV1><CCSTMTTRNRS><TRNUID>2<CCSTMTRS><CURDEF>USD<CCACCTFROM><ACCTID>C1</CCACCTFROM>
<BANKTRANLIST>${transaction('-3')}</BANKTRANLIST><BANKTRANLISTP><STMTTRNP><TRNTYPE>DEBIT<DTTRAN>20260104<TRNAMT>-9<NAME>x</STMTTRNP></BANKTRANLISTP>
<LEDGERBAL><BALAMT>-3<DTASOF>20260103</LEDGERBAL><AVAILBAL><BALAMT>99<DTASOF>20260103</AVAILBAL></CCSTMTRS></CCSTMTTRNRS></CREDITCARDMSGSRSV1>`
  const investment = `<INVSTMTMSGSRSV1><INVSTMTTRNRS><TRNUID>3<INVSTMTRS><CURDEF>USD<INVACCTFROM><BROKERID>b<ACCTID>I1</INVACCTFROM>
<INVTRANLIST><BUYMF><INVBUY><INVTRAN><FITID>9<MEMO>m</INVTRAN><TOTAL>-673.0</INVBUY></BUYMF><INVBANKTRAN>${transaction('+4.0000')}<SUBACCTFUND>CASH</INVBANKTRAN></INVTRANLIST>
<INVPOSLIST><POSMF><INVPOS><UNITS>1</INVPOS></POSMF></INVPOSLIST></INVSTMTRS></INVSTMTTRNRS></INVSTMTMSGSRSV1>`
  const { error, statements } = read(
    SGML + bank(transaction('1')).replace('</OFX>', `${card}${investment}</OFX>`),
  )
  expect(error).toBeNull()
  expect(
    statements.map((statement) => [
      statement.account,
      statement.closing,
      statement.entries,
      amounts(statement),
    ]),
  ).toEqual([
    ['A1', '10.5', 1, ['1']],
    ['C1', '-3', 1, ['-3', '-9']],
    ['I1', null, 1, ['4']],
  ])
  expect(statements[1]).toMatchObject({ unbooked: 1, sumDebits: '3' })
})

test('empty values, entities, comments and character data', () => {
  const more = '<REFNUM></REFNUM><CHECKNUM>  '
  const { statements, error } = read(
    SGML +
      bank(
        transaction('1', more).replace('for A&B', '<![CDATA[a<b]]> &#8364;&#x20AC; &nope; <!-- c --> 1 < 2'),
      ),
  )
  expect(error).toBeNull()
  expect(statements[0]!.lines[0]!.text).toBe('Ann & Co\na<b €€ &nope;  1 < 2')
  expect(statements[0]!.lines[0]!.reference).toBeNull()
})

test("another currency's transaction makes the statement unprovable and is warned of; the original currency only informs", () => {
  const foreign = read(SGML + bank(transaction('1', '<CURRENCY><CURRATE>1.1<CURSYM>USD</CURRENCY>')))
  expect(foreign.statements[0]!.lines[0]!.currency).toBe('USD')
  expect(foreign.warnings).toMatchObject([{ code: 'currency_mixed' }])
  const converted = read(
    SGML + bank(transaction('1', '<ORIGCURRENCY><CURRATE>1.1<CURSYM>USD</ORIGCURRENCY>')),
  )
  expect(converted).toMatchObject({ warnings: [] })
})

test('an amount that cannot be read costs its line and is reported', () => {
  const { error, statements, rejects } = read(
    SGML + bank(transaction('$120') + transaction('1'), '<LEDGERBAL><BALAMT> <DTASOF>20260103</LEDGERBAL>'),
  )
  expect(error).toBeNull()
  expect(statements[0]).toMatchObject({ entries: 1, rejected: 1, closing: null })
  expect(rejects.map(({ code, path }) => [code, path?.split('/').at(-1)])).toEqual([
    ['value_invalid', 'TRNAMT'],
    ['value_invalid', 'BALAMT'],
  ])
})

test('a zero whose digits were all suppressed', () => {
  const { statements, warnings } = read(SGML + bank(transaction('      .  ')))
  expect(amounts(statements[0])).toEqual(['0'])
  expect(warnings).toHaveLength(1)
})

test('an answer without a statement says why', () => {
  const { error, statements, warnings } = read(
    `${SGML}<OFX><BANKMSGSRSV1><STMTTRNRS><TRNUID>1<STATUS><CODE>2000<SEVERITY>ERROR<MESSAGE>General</STATUS></STMTTRNRS></BANKMSGSRSV1></OFX>`,
  )
  expect({ error, statements }).toEqual({ error: null, statements: [] })
  expect(warnings[0]!.message).toContain('2000: General')
})

const good = SGML + bank(transaction('1'))
test.each([
  ['cut in the middle', good.slice(0, good.indexOf('<NAME>')), 'truncated'],
  ['cut inside a tag', good.slice(0, good.indexOf('BANKTRANLIST')), 'truncated'],
  ['without its last tag', good.replace('</OFX>', ''), 'truncated'],
  [
    'wrongly nested',
    good.replace('</BANKTRANLIST>', '').replace('</STMTRS>', '</STMTRS></BANKTRANLIST>'),
    'markup_malformed',
  ],
  ['an aggregate left open', good.replace('</STMTTRN>', ''), 'markup_malformed'],
  ['a tag that is none', good.replace('<NAME>', '<N@ME>'), 'markup_malformed'],
  ['without an account', good.replace(/<ACCTID>A1/, ''), 'tag_missing'],
  ['without a currency', good.replace('<CURDEF>EUR', ''), 'tag_missing'],
  ['a transaction without amount', good.replace('<TRNAMT>1', ''), 'tag_missing'],
  ['a transaction outside of a statement', `${SGML}<OFX>${transaction('1')}</OFX>`, 'tag_unexpected'],
  ['another root', `${SGML}<HTML></HTML>`, 'tag_unexpected'],
  ['tags behind the root', `${good}<OFX></OFX>`, 'tag_unexpected'],
  ['nothing', SGML, 'format_unknown'],
  [
    'a document type',
    good.replace('<OFX>', '<!DOCTYPE OFX [<!ENTITY a SYSTEM "file:///x">]><OFX>'),
    'doctype_refused',
  ],
  ['an entity', good.replace('<OFX>', '<OFX><!ENTITY a "b">'), 'doctype_refused'],
  ['a text without end', good.replace('Ann', 'x'.repeat(1_100_000)), 'statement_too_large'],
])('%s is refused', (_name, text, code) => {
  expect(read(text).error).toMatchObject({ code, line: expect.any(Number) })
})

test('the place is the line', () => {
  expect(read(good.replace('<TRNAMT>1', '')).error).toMatchObject({ line: 10 })
})

test('any cut of the text gives the same', () => {
  const text = SGML + bank(transaction('1', '<REFNUM><![CDATA[x]]><!-- c -->y < z')).replaceAll('\n', '\r\n')
  const whole = read(text)
  expect(whole.error).toBeNull()
  expect(whole.statements[0]!.lines[0]!.reference).toBe('xy < z')
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 40 }), (cuts) => {
      expect(read(text, cuts)).toEqual(whole)
    }),
  )
})

test('what is written is read back', () => {
  const amount = fc.record({
    minor: fc.bigInt(-(10n ** 14n), 10n ** 14n),
    scale: fc.integer({ min: 0, max: 4 }),
    comma: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(amount, { maxLength: 20 }), fc.boolean(), (entries, xml) => {
      const texts = entries.map(({ minor, scale, comma }) => {
        const text = formatDecimal(fromMinor(minor, scale), scale)
        return transaction(comma ? text.replace('.', ',') : text)
      })
      const text = bank(texts.join(''))
      const { statements, error } = read(xml ? XML + closed(text) : SGML + text)
      expect(error).toBeNull()
      expect(amounts(statements[0])).toEqual(
        entries.map(({ minor, scale }) => formatDecimal(fromMinor(minor, scale), 0)),
      )
    }),
  )
})
