/** The S3 kind against a server of the S3 API (moto, from PyPI, as a process of its own): the same calls as for a folder. */
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { ensurePythonPackages } from '#infra/local/downloads.ts'
import { findFreePorts } from '#infra/local/ports.ts'
import { launch, type ProcessIdentity, terminate } from '#infra/local/processes.ts'
import { findProgram } from '#infra/local/programs.ts'
import { readArchive } from '#platform/config/archive.ts'
import { ConfigurationReader } from '#platform/config/reader.ts'
import { behavesAsStorage } from './conformance.fixtures.ts'
import { openStorage } from './open-storage.ts'
import { S3Storage } from './s3-storage.ts'

const REQUIREMENTS = ['moto[s3]==5.2.5', 'flask==3.1.3', 'flask-cors==6.0.5']
const START_TIMEOUT_MS = 60_000

describe.skipIf(findProgram('python3') === undefined)('behind the S3 API', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tallystream-s3-'))
  let server: ProcessIdentity
  let endpoint: string

  beforeAll(async () => {
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'tests')
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'tests')
    const packages = await ensurePythonPackages('moto-5.2.5', REQUIREMENTS, { onProgress: () => undefined })
    const [port] = await findFreePorts([0])
    endpoint = `http://127.0.0.1:${port}`
    const logFile = join(folder, 'log')
    closeSync(openSync(logFile, 'a'))
    server = launch({
      command: findProgram('python3')!,
      arguments: ['-m', 'moto.server', '-H', '127.0.0.1', '-p', String(port)],
      environment: { PYTHONPATH: packages },
      workingFolder: folder,
      logFile,
    })
    const deadline = Date.now() + START_TIMEOUT_MS
    while (
      !(await fetch(`${endpoint}/bucket`, { method: 'PUT' }).then(
        (a) => a.ok,
        () => false,
      ))
    ) {
      if (Date.now() > deadline) throw new Error(`the S3 server did not start: see ${logFile}`)
      await sleep(100)
    }
  }, 600_000)
  afterAll(async () => {
    vi.unstubAllEnvs()
    await terminate(server, { signal: 'SIGTERM', timeoutMs: 3_000 })
    rmSync(folder, { recursive: true })
  })

  behavesAsStorage('a bucket', () => {
    const reader = new ConfigurationReader({
      ARCHIVE_URL: 's3://bucket/some/prefix',
      ARCHIVE_S3_ENDPOINT: endpoint,
    })
    return openStorage(readArchive(reader))
  })

  const open = (bucket: string, address = endpoint) =>
    new S3Storage({ bucket, prefix: '', endpoint: address, region: undefined, pathStyle: true })

  it('keys stand below the prefix', async () => {
    const found: string[] = []
    for await (const { key } of open('bucket').list('')) found.push(key)
    expect(found).toContain('some/prefix/a/b/one')
  })

  it('lists more than a page', async () => {
    const storage = open('bucket')
    const keys = Array.from({ length: 1_050 }, (_, n) => `pages/${String(n).padStart(4, '0')}`)
    for (let at = 0; at < keys.length; at += 50) {
      await Promise.all(keys.slice(at, at + 50).map((key) => storage.create(key, Buffer.from(key))))
    }
    const found: string[] = []
    for await (const { key } of storage.list('pages/')) found.push(key)
    expect(found).toEqual(keys)
  })

  it('a bucket that is not there is refused; a server that is not there is unreachable', async () => {
    await expect(open('none').create('key', Buffer.from(''))).rejects.toMatchObject({
      code: 'storage_refused',
      retriable: false,
    })
    const [port] = await findFreePorts([0])
    await expect(open('bucket', `http://127.0.0.1:${port}`).read('key')).rejects.toMatchObject({
      code: 'storage_unreachable',
      retriable: true,
    })
  })
})
