/** The archive on the real stack: what is written, what reading gives back when the topics let go of it, and what verifying finds. */
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { accountValue, transactionValue } from '#connectors/ingest/wire.ts'
import type { BatchHeader } from '#domain/ledger/batch-record.ts'
import { accountChange, transactionCommand } from '#domain/transactions/testing/fixtures.ts'
import { ensurePythonPackages } from '#infra/local/downloads.ts'
import { findProgram, runOrFail } from '#infra/local/programs.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import type { IngestRecord } from '#platform/kafka/ingest-record.ts'
import { FolderStorage } from '#platform/object-storage/folder-storage.ts'
import { AuditLog } from '#platform/postgres/audit-log.ts'
import { checkAuditLog } from '#platform/postgres/audit-log-check.ts'
import { BatchStore } from '#platform/postgres/batch-store.ts'
import { PipelineFixture } from '../testing/pipeline-fixture.ts'
import { Archive } from './archive.ts'
import type { Archiver } from './archiver.ts'
import { openArchiver, topicRecords } from './open-archiver.ts'
import { joinedSource, type RecordRange } from './sources.ts'
import { verifyArchive } from './verify.ts'

const folder = mkdtempSync(join(tmpdir(), 'tallystream-archive-test-'))
const configuration = testConfiguration('archive', {
  ARCHIVE_URL: pathToFileURL(join(folder, 'objects')).href,
  ARCHIVE_SEGMENT_BYTES_MAX: '1024',
  ARCHIVE_SEGMENT_SECONDS_MAX: '1',
  BATCH_RECORDS_MAX: '50',
})
const { name: ledger, clusterId: cluster } = configuration.ledger
const storage = new FolderStorage(join(folder, 'objects'))
const startedMs = Date.now()
const TRANSACTIONS = 400
const ROUNDS = 4

let fixture: PipelineFixture
const closers: (() => Promise<void>)[] = []

const makeArchiver = (holder = 'tests'): Archiver => {
  const { archiver, close } = openArchiver({
    configuration,
    pool: fixture.ledger.pool,
    kafka: fixture.kafka,
    schemas: fixture.registry,
    holder,
    logger: { info: () => undefined, warn: () => undefined },
    onSegment: () => undefined,
    onIncident: (incident) => void fixture.incidents.push(incident),
  })
  closers.push(close)
  return archiver
}

const openArchive = async (): Promise<Archive> => {
  const archive = new Archive(storage, ledger)
  await archive.refresh()
  return archive
}

const publishTransactions = async (from: number, count: number) =>
  fixture.publishValues(
    'transactions',
    Array.from({ length: count }, (_, n) =>
      transactionValue(transactionCommand({ id: `t${from + n}`, occurredAt: startedMs })),
    ),
  )

beforeAll(async () => {
  fixture = await PipelineFixture.create(configuration, startedMs)
  await fixture.start(['processor', 'ticker'])
  await fixture.applied(
    await fixture.publishValues('accounts', [
      accountValue(accountChange({ accountId: 'alice', limited: false })),
      accountValue(accountChange({ accountId: 'bob' })),
    ]),
  )
  await fixture.publish([{ topic: 'transactions', key: null, value: Buffer.from('poison'), partition: 3 }])
  // Each round is at least a batch, and each batch is larger than a segment need be.
  for (let round = 0; round < ROUNDS; round += 1) {
    await fixture.applied(await publishTransactions((round * TRANSACTIONS) / ROUNDS, TRANSACTIONS / ROUNDS))
  }
  await fixture.stop()
  await new AuditLog(fixture.ledger.pool).append(
    ['alice', 'bob'].map((subject) => ({
      atMs: startedMs,
      actor: 'tests',
      action: 'GET /accounts/:id',
      subject,
      details: {},
    })),
  )
})
afterAll(async () => {
  for (const close of closers) await close()
  await fixture.close()
  rmSync(folder, { recursive: true })
})

/** The ranges that all batches together read, by their partition. */
const rangesOf = async (): Promise<RecordRange[]> => {
  const ranges = new Map<string, RecordRange>()
  for (const { header, sequence } of await fixture.ledger.batches()) {
    const { sources } = JSON.parse(header.toString()) as BatchHeader
    for (const { topic, partition, from, next } of sources) {
      const before = ranges.get(`${topic}:${partition}`)
      ranges.set(`${topic}:${partition}`, {
        ...{ cluster, topic, partition },
        from: before?.from ?? BigInt(from),
        next: BigInt(next),
        batches: { first: before?.batches.first ?? sequence, last: sequence },
      })
    }
  }
  return [...ranges.values()]
}

type Plain = Record<string, unknown>
const plain = ({ offset, key, value, headers, timestampMs }: IngestRecord): Plain => ({
  offset,
  timestampMs,
  key: key?.toString('hex'),
  value: value?.toString('hex'),
  headers: { ...headers },
})

const readAll = async (source: { read(range: RecordRange): AsyncIterable<readonly IngestRecord[]> }) => {
  const found: Record<string, Plain[]> = {}
  for (const range of await rangesOf()) {
    const records: Plain[] = []
    for await (const chunk of source.read(range)) records.push(...chunk.map(plain))
    found[`${range.topic}:${range.partition}`] = records
  }
  return found
}

let fromTopics: Record<string, Plain[]>

describe('the archiver', () => {
  it('writes all batches and their records in segments, and goes on where it ended', async () => {
    const segments = await makeArchiver().archiveNow()
    expect(segments.length).toBeGreaterThanOrEqual(ROUNDS)
    const { sequence } = await fixture.ledger.store.readHead()
    expect(segments.at(-1)!.manifest.batches.last).toBe(String(sequence))
    const archived = await fixture.ledger.rows('select archived_through, manifest from archive_progress')
    expect(archived).toEqual([{ archived_through: sequence, manifest: BigInt(segments.length) }])
    expect(await makeArchiver().archiveNow()).toEqual([])
    const report = await verifyArchive(await openArchive())
    expect(report).toMatchObject({ ok: true, manifests: segments.length, batches: sequence })
  })

  it('gives back the batches as they are stored', async () => {
    const archived = []
    for await (const batch of (await openArchive()).batches(3n)) archived.push(batch)
    const stored = await new BatchStore(fixture.ledger.pool).readAfter(2n, {
      batchesMax: 10_000,
      bytesMax: 100_000_000,
    })
    expect(archived).toEqual(stored)
  })

  it('names the genesis and the schemas that the values were written by', async () => {
    const files = new Map<number, string>()
    for await (const { manifest } of (await openArchive()).manifests()) {
      expect(manifest.genesis).toMatchObject({ tick_ms: startedMs })
      for (const { id, file } of manifest.schemas) files.set(id, file)
    }
    const { transactions, processed, ticks } = fixture.contracts
    for (const { id } of [transactions, processed, ticks]) expect([...files.keys()]).toContain(id)
    const file = files.get(transactions.id)!
    const schema = JSON.parse(readFileSync(join(folder, 'objects', file), 'utf8')) as { name: string }
    expect(schema.name).toBe('Transaction')
  })

  it('keeps the audit log, and notes its head in every manifest after', async () => {
    const log = new AuditLog(fixture.ledger.pool)
    const archive = await openArchive()
    const archived = []
    for await (const entry of archive.auditLog()) archived.push(entry)
    expect(archived).toEqual(await log.readAfter(0n, 2))
    expect((await archive.last())!.manifest.audit_log).toMatchObject({
      last: '2',
      head_hash: archived[1]!.hash.toString('hex'),
    })
  })

  it('shows an audit log that was cut off, head and all', async () => {
    const anchor = await (await openArchive()).auditLogAnchor()
    const client = await fixture.ledger.pool.connect()
    const log = new AuditLog({ query: client.query.bind(client), connect: () => Promise.reject() } as never)
    const check = async () => (await checkAuditLog(log, anchor)).findings
    expect(await check()).toEqual([])
    await client.query(`begin; alter table audit_log disable trigger all; delete from audit_log where seq = 2;
      update audit_log_head h set seq = a.seq, hash = a.hash from audit_log a`)
    expect(await check()).toEqual([{ table: 'audit_log', key: '2', kind: 'removed' }])
    client.release(true)
  })

  it('and another one at the same time write one chain between them', async () => {
    await fixture.start(['processor'])
    await fixture.applied(await publishTransactions(TRANSACTIONS, 100))
    await fixture.stop()
    // Leases that don't keep them apart: as after a pause of the one that held it.
    const archivers = ['one', 'two'].map((holder) => {
      const archiver = makeArchiver(holder)
      Object.assign((archiver as unknown as { options: object }).options, {
        lease: { take: async () => true, release: async () => undefined },
      })
      return archiver
    })
    const written = (await Promise.all(archivers.map((archiver) => archiver.archiveNow()))).flat()
    const numbers = written.map(({ manifest }) => manifest.number)
    expect(new Set(numbers).size).toBe(numbers.length)
    const report = await verifyArchive(await openArchive())
    expect(report).toMatchObject({ ok: true, batches: (await fixture.ledger.store.readHead()).sequence })
  })
})

describe('the role of the pipeline', () => {
  it('archives by itself once a batch has waited long enough', async () => {
    await fixture.start(['processor', 'archiver'])
    await fixture.applied(await publishTransactions(900, 10))
    const { sequence } = await fixture.ledger.store.readHead()
    const deadline = Date.now() + 20_000
    for (;;) {
      const [row] = await fixture.ledger.rows<{ through: bigint }>(
        'select archived_through as through from archive_progress',
      )
      if (row!.through >= sequence) break
      if (Date.now() > deadline) throw new Error(`archived ${row!.through} of ${sequence}`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    await fixture.stop()
    expect((await verifyArchive(await openArchive())).ok).toBe(true)
  })
})

describe('records', () => {
  it('are the same from the topics and from the archive', async () => {
    const topics = topicRecords(fixture.kafka, configuration.ledger.topicPrefix)
    closers.push(() => topics.close())
    fromTopics = await readAll(topics)
    expect(Object.values(fromTopics).flat().length).toBeGreaterThan(TRANSACTIONS + 100)
    const archive = await openArchive()
    expect(await readAll({ read: (range) => archive.records(range) })).toEqual(fromTopics)
  })

  it('are whole from both as one when the topics let go of what is archived, and a part of a range is a part', async () => {
    await fixture.start(['processor'])
    await fixture.applied(await publishTransactions(1_000, 60))
    await fixture.stop()
    const topics = topicRecords(fixture.kafka, configuration.ledger.topicPrefix)
    closers.push(() => topics.close())
    fromTopics = await readAll(topics)
    const archive = await openArchive()
    const { positions } = (await archive.last())!.manifest
    for (const [name, next] of Object.entries(positions[cluster]!)) {
      const [topic, partition] = name.split(':') as [string, string]
      await fixture.admin.deleteRecords(fixture.topic(topic), new Map([[Number(partition), BigInt(next)]]))
    }
    await expect(readAll(topics)).rejects.toMatchObject({ code: 'records_gone' })
    expect(await readAll(joinedSource(archive, topics))).toEqual(fromTopics)
    const batches = { first: 1n, last: (await fixture.ledger.store.readHead()).sequence }
    const range = { cluster, topic: 'transactions', partition: 0, from: 123n, next: 321n, batches }
    const part: Plain[] = []
    for await (const chunk of archive.records(range)) part.push(...chunk.map(plain))
    const expected = fromTopics['transactions:0']!.filter(
      ({ offset }) => (offset as bigint) >= range.from && (offset as bigint) < range.next,
    )
    expect(part).toEqual(expected)
  })

  it('that were deleted before they were archived stop the archiver with an incident', async () => {
    await fixture.start(['processor'])
    const positions = await publishTransactions(2_000, 10)
    await fixture.applied(positions)
    await fixture.stop()
    await fixture.admin.deleteRecords(fixture.topic('transactions'), new Map([[0, positions.at(-1)!.offset]]))
    await expect(makeArchiver().archiveNow()).rejects.toMatchObject({ code: 'archive_records_gone' })
  })
})

describe.skipIf(findProgram('python3') === undefined)('another Avro library', () => {
  it('reads the same values from the files', async () => {
    const packages = await ensurePythonPackages('fastavro-1.13.1', ['fastavro==1.13.1'], {
      onProgress: () => undefined,
    })
    const archive = await openArchive()
    const program = `
import fastavro, hashlib, json, sys
for path in sys.argv[1:]:
    with open(path, 'rb') as file:
        reader = fastavro.reader(file)
        values = list(reader)
        print(json.dumps({
            'name': reader.writer_schema['name'],
            'topic': reader.metadata.get('tallystream.topic'),
            'chained': all(hashlib.sha256(v['previousHash'] + len(v['header']).to_bytes(4, 'big') + v['header'] + v['payload']).digest() == v['hash'] for v in values) if 'previousHash' in values[0] else None,
            'values': [[v['offset'], v['timestamp'], hashlib.sha256(v['value'] or b'').hexdigest()] for v in values] if 'offset' in values[0] else len(values),
        }))
`
    let batches = 0
    const records: unknown[] = []
    for await (const { manifest } of archive.manifests()) {
      const part = manifest.records.find(
        ({ topic, partition }) => topic === 'transactions' && partition === 0,
      )
      const files = [manifest.batches.file, ...(part?.file ? [part.file] : [])]
      const { stdout } = await runOrFail(
        'python3',
        ['-c', program, ...files.map((file) => join(folder, 'objects', file))],
        {
          timeoutMs: 60_000,
          environment: { PYTHONPATH: packages },
        },
      )
      const [first, second] = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
      expect(first).toMatchObject({ name: 'tallystream.archive.ArchivedBatch', chained: true })
      batches += first.values
      if (second !== undefined) expect(second).toMatchObject({ topic: 'transactions' })
      records.push(...(second?.values ?? []))
    }
    expect(batches).toBe(Number((await archive.last())!.manifest.batches.last))
    const sha256 = (hex: unknown) =>
      createHash('sha256')
        .update(Buffer.from(String(hex), 'hex'))
        .digest('hex')
    const expected = fromTopics['transactions:0']!.map(({ offset, timestampMs, value }) => [
      Number(offset),
      Number(timestampMs),
      sha256(value),
    ]).slice(0, records.length)
    expect(records).toEqual(expected)
    expect(records.length).toBeGreaterThan(TRANSACTIONS)
  })
})

describe('verifying', () => {
  const change = async (file: string, edit: (bytes: Buffer) => Buffer) => {
    const path = join(folder, 'objects', file)
    const before = readFileSync(path)
    writeFileSync(path, edit(Buffer.from(before)))
    const { ok, findings } = await verifyArchive(
      await openArchive().catch(() => new Archive(storage, ledger)),
    )
    writeFileSync(path, before)
    return { ok, files: findings.map((finding) => finding.file) }
  }
  const flipped = (bytes: Buffer): Buffer => {
    bytes[Math.floor(bytes.length / 2)]! ^= 1
    return bytes
  }

  it('finds a changed batch file, record file and manifest, and only where one was changed', async () => {
    const archive = await openArchive()
    const { manifest } = await archive.manifest(2)
    const records = manifest.records.find(({ file }) => file !== null)!.file!
    expect(await change(manifest.batches.file, flipped)).toEqual({
      ok: false,
      files: [manifest.batches.file],
    })
    expect(await change(records, flipped)).toEqual({ ok: false, files: [records] })
    expect(await change(records, () => Buffer.alloc(0))).toEqual({ ok: false, files: [records] })
    const second = `${ledger}/manifests/00000000000000000002.json`
    const third = second.replace('2.json', '3.json')
    const edited = await change(second, (bytes) =>
      Buffer.from(bytes.toString().replace('"timeline": "1"', '"timeline": "2"')),
    )
    expect(edited).toEqual({ ok: false, files: [third] })
    expect((await verifyArchive(await openArchive())).ok).toBe(true)
  })

  it('finds a removed manifest and a removed file', async () => {
    const { manifest } = await (await openArchive()).manifest(1)
    const remove = async (file: string) => {
      const path = join(folder, 'objects', file)
      const before = readFileSync(path)
      rmSync(path)
      const { findings } = await verifyArchive(new Archive(storage, ledger))
      writeFileSync(path, before)
      return findings.length
    }
    expect(await remove(manifest.batches.file)).toBeGreaterThan(0)
    expect(await remove(`${ledger}/manifests/00000000000000000001.json`)).toBeGreaterThan(0)
  })

  it('of a database that is not the archived one is refused by the archiver', async () => {
    await fixture.ledger.pool.query(
      `update batches set hash = decode(repeat('00', 32), 'hex') where sequence = (select archived_through from archive_progress)`,
    )
    await expect(makeArchiver().archiveNow()).rejects.toMatchObject({ code: 'archive_other_past' })
    await fixture.ledger.pool.query('update ledger_head set sequence = 1')
    await expect(makeArchiver().archiveNow()).rejects.toMatchObject({ code: 'database_behind_archived' })
  })
})
