/** The checks of crash runs notice what they are there for: a run that passes says something only if a wrong ledger would not. */
import { describe, expect, test } from 'vitest'
import { Findings } from '../findings.ts'
import type { SentTransaction } from '../load.ts'
import { RegistryReader } from './avro-reader.ts'
import { checkBalances, checkDecisions } from './check-ledger.ts'
import type { StoredLedger, StoredPosting, StoredTransaction } from './stored-ledger.ts'

const sent: SentTransaction[] = [
  {
    id: 'a',
    outcome: 'applied',
    postings: [{ debit: 'payer', credit: 'payee', amount: 5n }],
    positions: [
      { partition: 0, offset: 0n },
      { partition: 1, offset: 0n },
    ],
  },
  { id: 'b', outcome: 'rejected', postings: [], positions: [{ partition: 0, offset: 1n }] },
]

const decision = (index: number, id: string, status: string, place: [number, bigint]): StoredTransaction => ({
  sequence: 1n,
  index,
  id,
  cause: 'transaction',
  status,
  partition: place[0],
  offset: place[1],
})

const posting: StoredPosting = {
  sequence: 1n,
  index: 0,
  posting: 0,
  debit: 'payer',
  credit: 'payee',
  amount: 5n,
  debitPosted: -5n,
  creditPosted: 5n,
}

const ledger = (changes: Partial<StoredLedger> = {}): StoredLedger => ({
  head: { sequence: 1n, hash: Buffer.alloc(32) },
  positions: new Map(),
  accounts: [
    { id: 'payer', posted: -5n, reserved: 0n, version: 1n },
    { id: 'payee', posted: 5n, reserved: 0n, version: 1n },
  ],
  transactions: [
    decision(0, 'a', 'applied', [1, 0n]),
    decision(1, 'a', 'duplicate', [0, 0n]),
    decision(2, 'b', 'rejected', [0, 1n]),
  ],
  postings: [posting],
  ...changes,
})

/** The rules that a ledger breaks. */
const broken = (stored: StoredLedger): string[] => {
  const findings = new Findings()
  checkDecisions(findings, sent, stored)
  checkBalances(findings, sent, stored)
  return findings.all.filter(({ wrong }) => wrong > 0).map(({ rule }) => rule)
}

describe('checks of a crash run', () => {
  test('a right ledger breaks no rule', () => {
    expect(broken(ledger())).toEqual([])
  })

  test.each<[string, Partial<StoredLedger>, string]>([
    [
      'a record that was lost',
      { transactions: ledger().transactions.slice(0, 2) },
      'every record sent has one decision',
    ],
    [
      'a record that was decided twice',
      { transactions: [...ledger().transactions, decision(3, 'b', 'duplicate', [0, 1n])] },
      'every record sent has one decision',
    ],
    [
      'an id that took effect twice',
      { transactions: ledger().transactions.map((t) => (t.id === 'a' ? { ...t, status: 'applied' } : t)) },
      'every id took effect once',
    ],
    [
      'a decision about nothing',
      { transactions: [...ledger().transactions, decision(3, 'c', 'applied', [2, 7n])] },
      'nothing is decided that was not sent',
    ],
    [
      'money out of nowhere',
      { accounts: [{ id: 'payee', posted: 6n, reserved: 0n, version: 1n }] },
      'all balances sum to zero',
    ],
    [
      'a posting that was written twice',
      { postings: [posting, { ...posting, index: 1 }] },
      'every posting continues the balance before it',
    ],
  ])('%s is noticed', (_name, changes, rule) => {
    expect(broken(ledger(changes))).toContain(rule)
  })

  test('a rule that nothing was checked by does not count as kept', () => {
    const findings = new Findings()
    findings.same('one', 'a', 1, 1)
    expect(findings.passed).toBe(true)
    findings.expectRule('other')
    expect(findings.passed).toBe(false)
  })
})

test('a value that does not begin as the registry has it is refused', async () => {
  await expect(new RegistryReader('http://127.0.0.1:1').read(Buffer.from('{"a":1}'))).rejects.toThrow(
    'expected magic byte 0, found 123',
  )
})
