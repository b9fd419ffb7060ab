/**
 * An archive that was damaged: files swapped, cut, emptied or taken away. Verifying names each, and reading gives what was written
 * or an error, never something else.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { accountValue, transactionValue } from '#connectors/ingest/wire.ts'
import { accountChange, transactionCommand } from '#domain/transactions/testing/fixtures.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { OperatingError } from '#platform/errors.ts'
import { FolderStorage } from '#platform/object-storage/folder-storage.ts'
import { AuditLog } from '#platform/postgres/audit-log.ts'
import { PipelineFixture } from '../testing/pipeline-fixture.ts'
import { Archive } from './archive.ts'
import { archiveKeys, type Manifest } from './format.ts'
import { openArchiver } from './open-archiver.ts'
import { verifyArchive } from './verify.ts'

const folder = mkdtempSync(join(tmpdir(), 'tallystream-archive-damage-'))
const configuration = testConfiguration('archive_damage', {
  ARCHIVE_URL: pathToFileURL(join(folder, 'objects')).href,
  ARCHIVE_SEGMENT_BYTES_MAX: '1024',
  BATCH_RECORDS_MAX: '50',
})
const { name: ledger, clusterId: cluster } = configuration.ledger
const storage = new FolderStorage(join(folder, 'objects'))
const TRANSACTIONS = 300

let fixture: PipelineFixture
let manifests: Manifest[]
let whole: string

/** All that can be read: batches, records and the audit log, as text. @throws OperatingError */
const readAll = async (): Promise<string> => {
  const archive = new Archive(storage, ledger)
  await archive.refresh()
  const lines: string[] = []
  for await (const { sequence, hash } of archive.batches(1n))
    lines.push(`${sequence} ${hash.toString('hex')}`)
  const last = { first: 1n, last: BigInt(manifests.at(-1)!.batches.last) }
  const ends = manifests.at(-1)!.positions[cluster]!
  for (const [name, next] of Object.entries(ends)) {
    const [topic, partition] = name.split(':') as [string, string]
    const range = {
      cluster,
      topic,
      partition: Number(partition),
      from: 0n,
      next: BigInt(next),
      batches: last,
    }
    for await (const chunk of archive.records(range)) {
      for (const { offset, value } of chunk) lines.push(`${name} ${offset} ${value?.toString('hex')}`)
    }
  }
  for await (const { seq, hash } of archive.auditLog()) lines.push(`${seq} ${hash.toString('hex')}`)
  return lines.join('\n')
}

const pathOf = (file: string): string => join(folder, 'objects', file)

/** What verifying finds (the code where it can't even begin), and what reading gives, while files are damaged. */
const damaged = async (files: readonly string[], damage: () => void) => {
  const before = files.map((file) => readFileSync(pathOf(file)))
  const attempt = async <Result>(work: () => Promise<Result>): Promise<Result | string> => {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof OperatingError)) throw error
      return error.code
    }
  }
  try {
    damage()
    const found = await attempt(() => verifyArchive(new Archive(storage, ledger)))
    const read = await attempt(readAll)
    return { found: typeof found === 'string' ? [found] : found.findings.map(({ file }) => file), read }
  } finally {
    for (const [place, file] of files.entries()) writeFileSync(pathOf(file), before[place]!)
  }
}

/** Instead of the file: a gap in the manifests is found before any of them is looked at. */
const DAMAGED_CODES = ['manifests', 'archive_damaged', 'avro_invalid', 'object_missing', 'archive_empty']

beforeAll(async () => {
  fixture = await PipelineFixture.create(configuration, Date.now())
  await fixture.start(['processor', 'ticker'])
  await fixture.applied(
    await fixture.publishValues('accounts', [
      accountValue(accountChange({ accountId: 'alice', limited: false })),
      accountValue(accountChange({ accountId: 'bob' })),
    ]),
  )
  const { archiver, close } = openArchiver({
    configuration,
    pool: fixture.ledger.pool,
    kafka: fixture.kafka,
    schemas: fixture.registry,
    holder: 'tests',
    logger: { info: () => undefined, warn: () => undefined },
    onSegment: () => undefined,
    onIncident: (incident) => void fixture.incidents.push(incident),
  })
  for (let round = 0; round < 3; round += 1) {
    const values = Array.from({ length: TRANSACTIONS / 3 }, (_, n) =>
      transactionValue(transactionCommand({ id: `t${round}-${n}`, occurredAt: Date.now() })),
    )
    await fixture.applied(await fixture.publishValues('transactions', values))
    const entry = { atMs: Date.now(), actor: 'tests', action: 'look', subject: 'alice', details: {} }
    await new AuditLog(fixture.ledger.pool).append([entry])
    await archiver.archiveNow()
  }
  await close()
  await fixture.stop()
  expect(fixture.incidents).toEqual([])
  const archive = new Archive(storage, ledger)
  await archive.refresh()
  manifests = []
  for await (const { manifest } of archive.manifests()) manifests.push(manifest)
  expect(manifests.length).toBeGreaterThan(2)
  whole = await readAll()
})
afterAll(async () => {
  await fixture?.close()
  rmSync(folder, { recursive: true })
})

/** One file of each kind, from the middle, and another one of its kind. */
const filesOf = (): Record<string, [string, string]> => {
  const keys = archiveKeys(ledger)
  const records = manifests.flatMap((manifest) => manifest.records).filter(({ file }) => file !== null)
  const busy = records.filter(({ topic }) => topic === 'transactions')
  const logs = manifests.flatMap(({ audit_log: log }) => (log?.file == null ? [] : [log.file]))
  const schemas = [...new Set(manifests.flatMap((manifest) => manifest.schemas.map(({ file }) => file)))]
  return {
    manifests: [keys.manifest(2), keys.manifest(3)],
    batches: [manifests[1]!.batches.file, manifests[2]!.batches.file],
    records: [busy[0]!.file!, busy[1]!.file!],
    'audit log': [logs[0]!, logs[1]!],
    schemas: [schemas[0]!, schemas[1]!],
  }
}

const KINDS = ['manifests', 'batches', 'records', 'audit log', 'schemas']
const DAMAGES: Readonly<Record<string, (one: string, other: string) => void>> = {
  swapped: (one, other) => {
    const [first, second] = [readFileSync(one), readFileSync(other)]
    writeFileSync(one, second)
    writeFileSync(other, first)
  },
  'replaced by another': (one, other) => writeFileSync(one, readFileSync(other)),
  'cut by a byte': (one) => writeFileSync(one, readFileSync(one).subarray(0, -1)),
  'cut in half': (one) => writeFileSync(one, readFileSync(one).subarray(0, readFileSync(one).length / 2)),
  emptied: (one) => writeFileSync(one, ''),
  'taken away': (one) => rmSync(one),
}

describe.each(KINDS)('%s', (kind) => {
  it.each(Object.keys(DAMAGES))('%s: found, and nothing else is read than what was written', async (name) => {
    const [one, other] = filesOf()[kind]!
    const { found, read } = await damaged([one, other], () => DAMAGES[name]!(pathOf(one), pathOf(other)))
    expect(found.length).toBeGreaterThan(0)
    expect(DAMAGED_CODES.includes(found[0]!) || found.some((file) => file === one || file === other)).toBe(
      true,
    )
    // Schemas aren't read by audits: the registry has them.
    if (kind === 'schemas') expect(read).toBe(whole)
    else expect(DAMAGED_CODES).toContain(read)
  })
})

it('as it was written has no finding, also behind all this, and knows the heads that were noted', async () => {
  expect(await readAll()).toBe(whole)
  const verify = (expectHead?: string) => verifyArchive(new Archive(storage, ledger), { expectHead })
  expect(await verify()).toMatchObject({ ok: true, expected_batch: null })
  const { head_hash: head, last } = manifests[1]!.batches
  expect(await verify(head)).toMatchObject({ ok: true, expected_batch: BigInt(last) })
  const other = 'ab'.repeat(32)
  expect(await verify(other)).toMatchObject({
    ok: false,
    expected_batch: null,
    findings: [{ file: storage.location, detail: `no batch has the hash ${other}` }],
  })
})
