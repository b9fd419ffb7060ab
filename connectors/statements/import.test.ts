/** Importing statement files: what is published of them, and that nothing is of a file that is wrong. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { mt940OfDay } from '#domain/statements/testing/mt940.ts'
import { avroType } from '#platform/schema-registry/serde.ts'
import { schemaOf } from '#platform/schema-registry/contracts.ts'
import { TOPICS } from '#schemas/topics.ts'
import { importStatementFile } from './import.ts'
import { parseStatementFile } from './parse-file.ts'
import { lineOfValue, type StatementValue } from '#domain/statements/record.ts'

const folder = mkdtempSync(join(tmpdir(), 'import-'))
afterAll(() => rmSync(folder, { recursive: true }))

const signal = new AbortController().signal
const type = avroType(schemaOf(TOPICS.statements))

async function importOf(content: string, name = 'a.sta') {
  const path = join(folder, name)
  writeFileSync(path, content)
  const values: StatementValue[] = []
  const result = await importStatementFile(path, {
    mapping: null,
    actor: 'ann',
    signal,
    encode: (value) => type.toBuffer(value),
    topic: 'statements',
    send: async (records) =>
      records.map(({ value, key }) => {
        const decoded = type.fromBuffer(value!) as StatementValue
        values.push(decoded)
        expect(key).toBe(decoded.account)
        return { topic: 'statements', partition: 0, offset: BigInt(values.length - 1) }
      }),
  })
  return { path, result, values }
}

const two =
  mt940OfDay(
    2,
    '100,00',
    '110,00',
    ':61:2603020302C12,50NTRFINV-1//B1',
    ':86:first',
    ':61:2603020302D2,50NTRFINV-2//B2',
  ) + mt940OfDay(3, '110,00', '111,00', ':61:2603030303C2,00NTRFINV-3//B3')

test('lines with their places, then the statements', async () => {
  const { result, values } = await importOf(two)
  expect(
    values.map(({ ordinal, statementKey }) => [ordinal, statementKey === values[0]!.statementKey]),
  ).toEqual([
    [1, true],
    [2, true],
    [1, false],
    [0, true],
    [0, false],
  ])
  expect(values[0]).toMatchObject({
    account: 'DE02120300000000202051',
    date: '2026-03-02',
    file: 'a.sta',
    actor: 'ann',
  })
  expect(values[3]!.header).toMatchObject({
    opening: '100',
    closing: '110',
    lines: 2,
    entries: 2,
    proof: 'ok',
  })
  expect(values[4]!.header).toMatchObject({ proof: 'mismatch' })
  expect(result).toMatchObject({ published: 5, error: null, last: { offset: 4n } })
  expect(result.statements.map(({ lines, proof }) => [lines, proof])).toEqual([
    [2, 'ok'],
    [1, 'mismatch'],
  ])
})

test('a line read from the topic is the line of the file', async () => {
  const { path, values } = await importOf(two)
  const parsed = await parseStatementFile(path, { collectLines: true, mapping: null, signal })
  const lines = parsed.statements.flatMap((statement) => statement.lines ?? [])
  expect(values.filter(({ line }) => line !== null).map(({ line }) => lineOfValue(line!))).toMatchObject(
    lines.map(({ amount: _amount, ...line }) => line),
  )
  expect(lineOfValue({ ...values[0]!.line!, amount: 'x' })).toBeNull()
  expect(lineOfValue({ ...values[0]!.line!, status: 'x' as never })).toBeNull()
})

test('the same content in another file has the same keys', async () => {
  const keys = async (name: string) =>
    (await importOf(two, name)).values.map(({ statementKey }) => statementKey)
  expect(await keys('other.sta')).toEqual(await keys('a.sta'))
})

test('of a file that is wrong at its end nothing is published', async () => {
  const { result, values } = await importOf(`${two}:20:Y\r\n:61:2603030303C2,00NTRF\r\n`)
  expect(values).toEqual([])
  expect(result.error).toMatchObject({ code: expect.any(String) })
})

test('a file that is not there is refused', async () => {
  const options = {
    mapping: null,
    actor: 'ann',
    signal,
    topic: 't',
    encode: () => Buffer.alloc(0),
    send: async () => [],
  }
  const { error } = await importStatementFile(join(folder, 'none'), options)
  expect(error).toMatchObject({ code: 'file_unreadable' })
})
