/** What every format is read into: statements of one account with balances and lines, handed over while the file is read. */
import type { Decimal } from './decimal.ts'
import type { StatementProblem } from './problems.ts'

/**
 * booked: part of the booked balance; only these count as entries. pending: not booked yet (camt PDNG, OFX pending lists,
 * MT942 expected items). future: booked for a later date (camt FUTR). information: tells of something, moves nothing.
 */
export type LineStatus = 'booked' | 'pending' | 'future' | 'information'

/** One underlying transaction of a line: a line that books a batch has several. */
export interface LineDetail {
  /** Signed as the line, credit positive; null where the file doesn't say. */
  readonly amount: Decimal | null
  readonly currency: string | null
  readonly endToEndId: string | null
  readonly uetr: string | null
  readonly transactionId: string | null
  readonly instructionId: string | null
  readonly mandateId: string | null
  /** The account servicer's reference of this transaction. */
  readonly bankReference: string | null
  /** Structured creditor reference (ISO 11649 and national ones). */
  readonly creditorReference: string | null
  readonly counterpartyName: string | null
  readonly counterpartyAccount: string | null
  readonly counterpartyAgent: string | null
  readonly remittance: string | null
  /** Reason of a return, as a code where there is one. */
  readonly returnReason: string | null
}

export const NO_DETAIL: LineDetail = {
  amount: null,
  currency: null,
  endToEndId: null,
  uetr: null,
  transactionId: null,
  instructionId: null,
  mandateId: null,
  bankReference: null,
  creditorReference: null,
  counterpartyName: null,
  counterpartyAccount: null,
  counterpartyAgent: null,
  remittance: null,
  returnReason: null,
}

export interface StatementLine {
  /** Line of the file on which it starts, from 1. */
  readonly line: number
  /** Place in the document, for example `/Document/BkToCstmrStmt/Stmt[1]/Ntry[2]`; null where the format has none. */
  readonly path: string | null
  readonly status: LineStatus
  /** Signed: what comes into the account is positive. The reversal of a credit is negative. */
  readonly amount: Decimal
  readonly currency: string | null
  /** Whether it takes back an earlier line. The amount's sign says in which direction. */
  readonly reversal: boolean
  /** yyyy-mm-dd, or null. */
  readonly bookingDate: string | null
  readonly valueDate: string | null
  /** The account servicer's reference, unique in the statement where banks keep the rules. */
  readonly bankReference: string | null
  /** The account owner's reference, or the entry's. */
  readonly reference: string | null
  /** The bank's transaction code: MT `NTRF`, BAI2 `475`, camt `PMNT/RCDT/ESCT`, OFX `DEBIT`. */
  readonly code: string | null
  readonly text: string | null
  readonly details: readonly LineDetail[]
}

export interface StatementHeader {
  readonly id: string | null
  readonly account: string | null
  readonly currency: string | null
  /** Sequence number, with the page where there is one: `23/1`. */
  readonly sequence: string | null
}

/** A booked balance, credit positive. */
export interface Balance {
  readonly amount: Decimal
  readonly currency: string | null
  /** yyyy-mm-dd, or null. */
  readonly date: string | null
  /** The format's own code: `OPBD`, `60F`, `010`. */
  readonly code: string
}

/** ok: it adds up. mismatch: it doesn't. n/a: there is nothing to add up against. */
export type Verdict = 'ok' | 'mismatch' | 'n/a'

/** What is known when a statement has been read to its end. */
export interface StatementSummary extends StatementHeader {
  readonly opening: Balance | null
  readonly closing: Balance | null
  /** Booked lines only, as are the sums; sumDebits is positive. */
  readonly entries: number
  readonly sumCredits: Decimal
  readonly sumDebits: Decimal
  /** Lines that are not booked. */
  readonly unbooked: number
  /** Lines that could not be read and are missing in the sums. */
  readonly rejected: number
  /** Whether opening + entries = closing. */
  readonly proof: Verdict
  /** Whether totals that the file itself declares (camt summary, MT942 90a, BAI2 49) agree with its lines. */
  readonly controls: Verdict
}

/**
 * Who takes what a parser reads. Calls come as start, line…, end for each statement; the header object says which one: where
 * a file mixes the lines of several accounts (CSV), several statements are open at once.
 */
export interface StatementSink {
  start(header: StatementHeader): void
  line(line: StatementLine, header: StatementHeader): void
  end(summary: StatementSummary, header: StatementHeader): void
  /** Something departs from the standard and was read nevertheless. */
  warn(problem: StatementProblem): void
  /** A line or balance could not be read; the rest of the statement goes on without it. */
  reject(problem: StatementProblem): void
}

/**
 * Reads one file, pushed as text in pieces of any size; what comes out doesn't depend on where the pieces are cut.
 * Both methods throw StatementError where the file isn't what it should be; the parser is useless afterwards.
 */
export interface StatementParser {
  /** For example `camt.053.001.08`, `MT940`; known for sure once the file is read. */
  readonly format: string
  push(text: string): void
  end(): void
}
