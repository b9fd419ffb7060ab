/** The import as a whole with fakes for Kafka and the ledger: order of what is published, sums, rejects, limits, failures. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { AccountChange, TransactionCommand } from '#domain/transactions/command.ts'
import type { RecordPosition } from '#platform/kafka/producer.ts'
import { type CsvImportOptions, importCsv, previewCsv } from './import.ts'
import { parseMapping } from './mapping.ts'
import { RejectWriter } from './rejects.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'csv-import-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const mapping = parseMapping(
  JSON.stringify({
    source: 'test',
    id: 'tx:{id}',
    accounts: { from: 'card:{payer}', to: 'terminal:{payee}' },
    amount: { value: '{cents}', unit: 'minor' },
    currency: '{ccy}',
    occurredAt: { value: '{time}', format: 'epoch_s' },
    open: { from: { limited: false }, to: {} },
  }),
)

const write = (lines: readonly string[]): string => {
  const path = join(folder, 'in.csv')
  writeFileSync(path, `id,payer,payee,cents,ccy,time\n${lines.join('\n')}\n`)
  return path
}

/** Notes in order what would be published and awaited. */
class FakeLedger {
  readonly log: string[] = []
  readonly accounts: AccountChange[] = []
  readonly transactions: TransactionCommand[] = []
  #offset = 0n

  options(path: string, changes: Partial<CsvImportOptions> = {}): CsvImportOptions {
    return {
      path,
      mapping,
      actor: 'tester',
      rejects: new RejectWriter(join(folder, 'rejects.csv')),
      publish: {
        accounts: async (changes) => {
          this.log.push('accounts')
          this.accounts.push(...changes)
          return this.#positions('accounts', changes.length)
        },
        transactions: async (commands) => {
          this.log.push('transactions')
          this.transactions.push(...commands)
          return this.#positions('transactions', commands.length)
        },
      },
      awaitApplied: async () => {
        this.log.push('applied')
      },
      ...changes,
    }
  }

  #positions(topic: string, count: number): RecordPosition[] {
    return Array.from({ length: count }, () => ({ topic, partition: 0, offset: this.#offset++ }))
  }
}

test('accounts are opened once and awaited before the first transaction; sums and rejects are counted', async () => {
  const ledger = new FakeLedger()
  const path = write([
    '1,a,x,100,EUR,1522540818',
    '2,a,y,250,EUR,1522540819',
    'broken',
    '3,b,x,5,JPY,1522540820',
    '4,b,x,0,JPY,1522540821',
    '5,b,4111111111111111,7,EUR,1522540822',
  ])
  const summary = await importCsv(ledger.options(path))
  expect(ledger.log).toEqual(['accounts', 'applied', 'transactions'])
  expect(ledger.accounts.map(({ accountId, currency, limited }) => [accountId, currency, limited])).toEqual([
    ['card:a', 'EUR', false],
    ['terminal:x', 'EUR', true],
    ['terminal:y', 'EUR', true],
    ['card:b', 'JPY', false],
  ])
  expect(ledger.transactions.map(({ id }) => id)).toEqual(['tx:1', 'tx:2', 'tx:3'])
  expect(summary).toMatchObject({
    records: 6,
    published: 3,
    rejected: 3,
    rejectedByReason: { column_count: 1, amount_not_positive: 1, card_number_refused: 1 },
    accounts: 4,
    sums: { EUR: 350n, JPY: 5n },
    positions: [{ topic: 'transactions', partition: 0, offset: 6n }],
  })
  const rejects = readFileSync(join(folder, 'rejects.csv'), 'utf8').trim().split('\n')
  expect(rejects).toEqual([
    'line,reason,text',
    '4,column_count,"broken"',
    '6,amount_not_positive,"4,b,x,0,JPY,1522540821"',
    '7,card_number_refused,"5,b,************1111,7,EUR,1522540822"',
  ])
})

test('again it publishes the same, and without rejects there is no reject file', async () => {
  const path = write(['1,a,x,100,EUR,1522540818', '2,a,y,250,EUR,1522540819'])
  const [first, second] = [new FakeLedger(), new FakeLedger()]
  await importCsv(first.options(path))
  await importCsv(second.options(path))
  expect(second.transactions).toEqual(first.transactions)
  expect(second.accounts).toEqual(first.accounts)
  expect(existsSync(join(folder, 'rejects.csv'))).toBe(false)
})

test('a limit counts records, good and bad', async () => {
  const ledger = new FakeLedger()
  const path = write(['1,a,x,100,EUR,1', 'broken', '3,a,x,100,EUR,1', '4,a,x,100,EUR,1'])
  expect(await importCsv(ledger.options(path, { limit: 3 }))).toMatchObject({ records: 3 })
})

test('a file of many blocks keeps its order, and few sends are under way at once', async () => {
  const ledger = new FakeLedger()
  const path = write(Array.from({ length: 25_000 }, (_, index) => `${index},a,x,1,EUR,1522540818`))
  let underWay = 0
  let most = 0
  const options = ledger.options(path)
  const { transactions } = options.publish
  await importCsv({
    ...options,
    publish: {
      ...options.publish,
      transactions: async (commands) => {
        underWay += 1
        most = Math.max(most, underWay)
        await new Promise((resolve) => setTimeout(resolve, 1))
        underWay -= 1
        return transactions(commands)
      },
    },
  })
  expect(ledger.transactions.map(({ id }) => id)).toEqual(
    Array.from({ length: 25_000 }, (_, index) => `tx:${index}`),
  )
  expect(most).toBeGreaterThan(1)
  expect(most).toBeLessThanOrEqual(8)
})

test('a failed send ends the import with its error', async () => {
  const path = write(Array.from({ length: 10_000 }, (_, index) => `${index},a,x,1,EUR,1522540818`))
  const options = new FakeLedger().options(path)
  const failing = { ...options.publish, transactions: () => Promise.reject(new Error('no broker')) }
  await expect(importCsv({ ...options, publish: failing })).rejects.toThrow('no broker')
})

test('a rate is kept', async () => {
  const ledger = new FakeLedger()
  const path = write(Array.from({ length: 60 }, (_, index) => `${index},a,x,1,EUR,1522540818`))
  const { publishMs } = await importCsv(ledger.options(path, { ratePerSecond: 200 }))
  expect(publishMs).toBeGreaterThan(200)
  expect(publishMs).toBeLessThan(2_000)
})

test('a preview publishes nothing', async () => {
  const path = write(['1,a,x,100,EUR,1522540818', 'broken', '2,a,y,250,EUR,1522540819'])
  const shown = await previewCsv({ path, mapping, actor: 'tester', limit: 2 })
  expect(shown.transactions.map(({ id }) => id)).toEqual(['tx:1'])
  expect(shown.rejected).toEqual([{ line: 3, reason: 'column_count' }])
  expect(shown.accounts.length).toBeGreaterThan(0)
})

test('a line in another encoding is in the reject file byte by byte', async () => {
  const path = join(folder, 'in.csv')
  const spoilt = Buffer.from('2,M\xfcller,b,5,EUR,1522540818', 'latin1')
  const good = '1,a,b,5,EUR,1522540818'
  const bytes = [`id,payer,payee,cents,ccy,time\n${good}\n`, spoilt, '\r\n', spoilt].map((part) =>
    Buffer.from(part),
  )
  writeFileSync(path, Buffer.concat(bytes))
  const summary = await importCsv(new FakeLedger().options(path))
  expect(summary.rejectedByReason).toEqual({ encoding_invalid: 2 })
  const row = (line: number) => `${line},encoding_invalid,"2,M\xfcller,b,5,EUR,1522540818"\n`
  expect(readFileSync(join(folder, 'rejects.csv'), 'latin1')).toBe(`line,reason,text\n${row(3)}${row(4)}`)
})

test('a column that the header names twice is refused where the mapping names it', async () => {
  const path = join(folder, 'in.csv')
  writeFileSync(path, 'id,payer,payee,cents,ccy,time,cents\n1,a,b,5,EUR,1522540818,6\n')
  await expect(importCsv(new FakeLedger().options(path))).rejects.toMatchObject({
    code: 'configuration_invalid',
    message: expect.stringContaining('{cents} more than once'),
  })
})
