/** Files with random damage: each is read or refused with a code and a place; nothing else comes of it, in little time. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Bai2Parser } from '#domain/statements/bai2/reader.ts'
import { MtParser } from '#domain/statements/mt/reader.ts'
import { OfxParser } from '#domain/statements/ofx/reader.ts'
import { type ReadText, readText } from '#domain/statements/testing/read.ts'
import { CamtParser } from './xml.ts'

const GOOD = {
  camt: `<?xml version="1.0"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><GrpHdr><MsgId>M</MsgId></GrpHdr>
<Stmt><Id>S</Id><Acct><Id><IBAN>DE02</IBAN></Id><Ccy>EUR</Ccy></Acct><Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">1</Amt><CdtDbtInd>CRDT</CdtDbtInd></Bal>
<Ntry><Amt Ccy="EUR">1.25</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts><BookgDt><Dt>2026-01-02</Dt></BookgDt><NtryDtls><TxDtls><Refs><EndToEndId>E</EndToEndId></Refs></TxDtls></NtryDtls></Ntry>
</Stmt></BkToCstmrStmt></Document>`,
  mt: `{1:F01BANKDEFFAXXX0000000000}{2:I940BANKDEFFXXXXN}{4:\n:20:R\n:25:1\n:28C:1/1\n:60F:C260101EUR1000,\n:61:2601020102C250,50NTRFORDER//BANK9\n:86:166?00CREDIT?20EREF+E2E-1?32Ann\n:62F:C260103EUR1250,50\n-}\n:20:S\n:25:1\n:28C:1\n:34F:EUR0,\n:61:260102RD5,NTRFX\n:90C:1EUR5,\n-\n`,
  bai2: '01,S,R,260102,0800,1,80,1,2/\n02,R,O,1,260101,,USD,2/\n03,ACC,,010,1000,,,015,1500,,/\n16,195,500,D,2,0,200,1,300,B,C,TEXT\n88,MORE\n49,3000,4/\n98,3000,1,6/\n99,3000,1,8/\n',
  ofx: 'OFXHEADER:100\n\n<OFX><BANKMSGSRSV1><STMTTRNRS><TRNUID>1<STMTRS><CURDEF>EUR<BANKACCTFROM><ACCTID>A</BANKACCTFROM><BANKTRANLIST><STMTTRN><TRNTYPE>X<DTPOSTED>20260102<TRNAMT>-1.5<FITID>F<NAME>&amp; <![CDATA[x]]><!-- c --></STMTTRN></BANKTRANLIST><LEDGERBAL><BALAMT>1<DTASOF>20260102</LEDGERBAL></STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>',
}
const parsers = {
  camt: (sink: ConstructorParameters<typeof CamtParser>[0]) => new CamtParser(sink),
  mt: (sink: ConstructorParameters<typeof MtParser>[0]) => new MtParser(sink),
  bai2: (sink: ConstructorParameters<typeof Bai2Parser>[0]) => new Bai2Parser(sink),
  ofx: (sink: ConstructorParameters<typeof OfxParser>[0]) => new OfxParser(sink),
} as const

const ALPHABET = [
  ...'<>/&;:,{}-+.?!"\'\u0000\u0001\ud800\udc00\r\n 0123456789AZ%\\',
  ':61:',
  ':86:',
  ':62F:',
  '<!--',
  ']]>',
  '</',
  '88,',
  'Infinity',
  'NaN',
  '9'.repeat(70),
]

interface Damage {
  readonly at: number
  readonly length: number
  readonly text: string
}
const damage: fc.Arbitrary<Damage> = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  length: fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: 0, max: 6 }) },
    fc.integer({ min: 0, max: 400 }),
  ),
  text: fc.array(fc.constantFrom(...ALPHABET), { maxLength: 4 }).map((parts) => parts.join('')),
})

function damaged(text: string, damages: readonly Damage[]): string {
  return damages.reduce((before, { at, length, text: inserted }) => {
    const start = Math.floor(at * before.length)
    return before.slice(0, start) + inserted + before.slice(start + length)
  }, text)
}

/** The XML library tells of a wrong text once it has looked at all of a piece: which of two complaints comes first, and its line, may differ. */
const comparable = (read: ReadText): ReadText =>
  read.error?.code === 'markup_malformed'
    ? { ...read, error: { code: read.error.code, message: 'not well-formed' } }
    : read

test.each(Object.keys(GOOD) as (keyof typeof GOOD)[])('%s', (family) => {
  expect(readText(parsers[family], GOOD[family]).error).toBeNull()
  fc.assert(
    fc.property(fc.array(damage, { minLength: 1, maxLength: 4 }), fc.nat(200), (damages, cut) => {
      const text = damaged(GOOD[family], damages)
      // Anything but a StatementError is thrown on, and fails the test.
      const read = readText(parsers[family], text)
      for (const { entries, unbooked, lines } of read.statements)
        expect(lines.length).toBe(entries + unbooked)
      if (read.error !== null) expect(read.error.message.length).toBeLessThan(400)
      expect(comparable(readText(parsers[family], text, [cut, cut]))).toEqual(comparable(read))
    }),
    { numRuns: 1_000 },
  )
})

test('lines are handed on while the text comes, not at its end', () => {
  for (const family of Object.keys(GOOD) as (keyof typeof GOOD)[]) {
    let lines = 0
    const parser = parsers[family]({
      start() {},
      line() {
        lines += 1
      },
      end() {},
      warn() {},
      reject() {},
    })
    const end = { camt: '</Stmt>', mt: '-}', bai2: '49,', ofx: '</BANKTRANLIST>' }[family]
    parser.push(`${GOOD[family].slice(0, GOOD[family].indexOf(end) + end.length)}\n`)
    expect([family, lines]).toEqual([family, 1])
  }
})
