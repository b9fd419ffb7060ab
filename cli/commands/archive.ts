/** `archive run | list | verify`: batch records and ingest records in object storage (docs/archive.md). */
import { hostname } from 'node:os'
import type { Command } from 'commander'
import { addCommand, type CommandContext } from '#cli/command.ts'
import { loadConfiguration } from '#cli/configuration.ts'
import { table } from '#cli/table.ts'
import type { Configuration } from '#platform/config/configuration.ts'
import { ConfigurationError } from '#platform/errors.ts'
import { makeKafka } from '#platform/kafka/client.ts'
import { openStorage } from '#platform/object-storage/open-storage.ts'
import { createLogger } from '#platform/observability/logger.ts'
import { makeEnginePool } from '#platform/postgres/engine-pool.ts'
import { SchemaRegistry } from '#platform/schema-registry/registry.ts'
import { Archive } from '#processors/archive/archive.ts'
import type { Manifest } from '#processors/archive/format.ts'
import { openArchiver } from '#processors/archive/open-archiver.ts'
import { verifyArchive } from '#processors/archive/verify.ts'

const openArchive = (context: CommandContext, configuration: Configuration): Archive => {
  const storage = openStorage(configuration.archive)
  context.onClose(() => storage.close())
  return new Archive(storage, configuration.ledger.name)
}

const recordsOf = (manifest: Manifest): number => manifest.records.reduce((sum, { count }) => sum + count, 0)

/** Registers `archive` and its subcommands. */
export function registerArchive(program: Command): void {
  const archive = program
    .command('archive')
    .description('batch records and ingest records in object storage, beyond what Kafka and Postgres keep')
  addRun(archive)
  addList(archive)
  addVerify(archive)
}

function addRun(archive: Command): void {
  addCommand<{ once?: boolean }>(archive, {
    usage: 'run',
    audited: true,
    summary: 'archive what is decided, until stopped (also a role of `run`)',
    example: 'archive run --once',
    configure: (command) => command.option('--once', 'archive everything up to now, then end'),
    run: async (context, { once }) => {
      const configuration = loadConfiguration()
      const logger = createLogger({ level: configuration.logLevel, service: 'archiver' })
      const kafka = makeKafka(configuration.kafka, { clientId: 'tallystream-archiver', logger })
      const pool = makeEnginePool(configuration.postgres, {
        applicationName: 'tallystream archiver',
        connectionsMax: 2,
      })
      context.onClose(() => pool.end())
      let segments = 0
      let through = '0'
      let incident: string | null = null
      const { archiver, close } = openArchiver({
        configuration,
        pool,
        kafka,
        schemas: new SchemaRegistry(configuration.schemaRegistry),
        holder: `${hostname()}:${process.pid}`,
        logger,
        onSegment: ({ manifest }) => {
          segments += 1
          through = manifest.batches.last
        },
        onIncident: (found) => {
          incident = found.code
          logger.error({ code: found.code }, `incident: ${found.message}`)
        },
      })
      context.onClose(close)
      if (once === true) await archiver.archiveNow(context.signal)
      else {
        context.onClose(() => archiver.stop())
        await Promise.race([archiver.run(), context.untilStopped()])
      }
      return {
        json: { segments, archived_through: through, incident },
        text: segments === 0 ? 'nothing new to archive' : `${segments} segments, through batch ${through}`,
        ...(incident === null ? {} : { exitCode: 1 as const }),
      }
    },
  })
}

function addList(archive: Command): void {
  addCommand(archive, {
    usage: 'list',
    summary: 'the segments of the archive',
    example: 'archive list',
    run: async (context) => {
      const opened = openArchive(context, loadConfiguration())
      await opened.refresh()
      const segments: Record<string, unknown>[] = []
      for await (const { manifest, hash } of opened.manifests()) {
        const { number, cluster, batches } = manifest
        segments.push({
          number,
          cluster,
          first: batches.first,
          last: batches.last,
          batches: batches.count,
          records: recordsOf(manifest),
          bytes: batches.bytes + manifest.records.reduce((sum, { bytes }) => sum + bytes, 0),
          head_hash: batches.head_hash,
          manifest_sha256: hash,
        })
      }
      const text = table(
        [
          ['segment', 'batches', 'records', 'bytes', 'head'],
          ...segments.map((each) => [
            String(each.number),
            `${each.first}-${each.last}`,
            String(each.records),
            String(each.bytes),
            String(each.head_hash).slice(0, 16),
          ]),
        ],
        [2, 3],
      )
      return { json: { location: opened.storage.location, segments }, text }
    },
  })
}

function addVerify(archive: Command): void {
  addCommand<{ expectHead?: string }>(archive, {
    usage: 'verify',
    summary: 'check every hash, chain and range of the archive (exit code 1 when something is wrong)',
    example: 'archive verify',
    configure: (command) =>
      command.option(
        '--expect-head <hash>',
        'one of its batches must have this hash (64 hex digits), which you noted elsewhere',
      ),
    run: async (context, { expectHead }) => {
      const report = await verifyArchive(openArchive(context, loadConfiguration()), {
        expectHead: hashOf(expectHead, '--expect-head'),
        onManifest: (number) => {
          if (number % 100 === 0) context.progress(`${number} segments`)
        },
      })
      const summary = `${report.manifests} segments, ${report.batches} batches, ${report.records} records, ${report.bytes} bytes`
      const lines = report.findings.map(({ file, detail }) => `${file}: ${detail}`)
      if (report.expected_batch !== null)
        context.progress(`the expected head is batch ${report.expected_batch}`)
      return {
        json: report,
        text: [
          ...lines,
          `${summary}: ${report.ok ? 'as they were written' : `${lines.length} findings`}`,
        ].join('\n'),
        exitCode: report.ok ? 0 : 1,
      }
    },
  })
}

/** A SHA-256 as users write it. @throws ConfigurationError */
function hashOf(text: string | undefined, option: string): string | undefined {
  if (text === undefined || /^[0-9a-f]{64}$/i.test(text)) return text?.toLowerCase()
  throw new ConfigurationError(`expected ${option} as 64 hex digits, got ${JSON.stringify(text)}`)
}
