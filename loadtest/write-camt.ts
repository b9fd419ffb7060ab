/** Writes a large camt.053 to standard output, to measure reading: `node loadtest/write-camt.ts ENTRIES > FILE`. About 700 bytes an entry; its arithmetic holds. */
import { once } from 'node:events'
import { formatDecimal, fromMinor } from '#domain/statements/decimal.ts'

const OPENING_MINOR = 1_000n
const ENTRY_MINOR = 125n

const balance = (code: string, minor: bigint) =>
  `<Bal><Tp><CdOrPrtry><Cd>${code}</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">${formatDecimal(fromMinor(minor, 2), 2)}</Amt>` +
  '<CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-01-02</Dt></Dt></Bal>\n'

const entry = (number: number) =>
  `<Ntry><NtryRef>${number}</NtryRef><Amt Ccy="EUR">1.25</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>` +
  `<BookgDt><Dt>2026-01-02</Dt></BookgDt><ValDt><Dt>2026-01-02</Dt></ValDt><AcctSvcrRef>BANK${number}</AcctSvcrRef>` +
  '<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd><NtryDtls><TxDtls>' +
  `<Refs><EndToEndId>E2E-${number}</EndToEndId><TxId>T${number}</TxId></Refs><Amt Ccy="EUR">1.25</Amt><CdtDbtInd>CRDT</CdtDbtInd>` +
  `<RltdPties><Dbtr><Pty><Nm>Customer Number ${number}</Nm></Pty></Dbtr><DbtrAcct><Id><IBAN>DE021203000000${String(number).padStart(8, '0')}</IBAN></Id></DbtrAcct></RltdPties>` +
  `<RmtInf><Ustrd>Invoice ${number} of the second of January, thank you</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>\n`

async function write(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain')
}

const entries = Number(process.argv[2])
if (!Number.isSafeInteger(entries) || entries < 0) throw new Error('expected the number of entries')
await write(
  '<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt>' +
    '<GrpHdr><MsgId>M</MsgId><CreDtTm>2026-01-02T00:00:00</CreDtTm></GrpHdr><Stmt><Id>S</Id>' +
    '<Acct><Id><IBAN>DE02120300000000202051</IBAN></Id><Ccy>EUR</Ccy></Acct>\n' +
    balance('OPBD', OPENING_MINOR) +
    balance('CLBD', OPENING_MINOR + ENTRY_MINOR * BigInt(entries)),
)
for (let number = 0; number < entries; number += 1) await write(entry(number))
await write('</Stmt></BkToCstmrStmt></Document>\n')
