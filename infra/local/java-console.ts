/**
 * Java's own console consumer as an independent reader: it shares no line with our Kafka client, so it may judge what a
 * read_committed reader really gets. Slow to start (a second or two), made for checks.
 */
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensureJavaParts } from '#infra/local/downloads.ts'
import { type ProgramResult, runProgram } from '#infra/local/programs.ts'
import { OperatingError } from '#platform/errors.ts'

const loggingFile = fileURLToPath(new URL('./log4j2.properties', import.meta.url))
// Control characters, which Kafka's Bytes never prints as they are: no key or value can be taken for a separator.
const PART_SEPARATOR = '\u0001'
const HEADER_SEPARATOR = '\u0002'
/** The same two in the notation of a properties file. */
const separatorProperties = { 'key.separator': '\\u0001', 'headers.separator': '\\u0002' }

export interface JavaConsoleOptions {
  brokers: string
  topic: string
  /** One partition, from `offset` (0 unless told); all partitions from their beginning otherwise. */
  partition?: number
  offset?: number
  /** Stops after that many records. */
  recordsMax?: number
  /** Stops when no record came for so long; 5000 unless told. The end of a topic shows only as silence. */
  idleTimeoutMs?: number
  isolationLevel?: 'read_committed' | 'read_uncommitted'
  /** Further consumer properties, for instance for an encrypted listener. */
  properties?: Readonly<Record<string, string>>
}

/** A record as Java saw it. Bytes, so that any encoding can be compared. */
export interface JavaRecord {
  partition: number
  offset: number
  timestampMs: number
  key: Buffer | undefined
  value: Buffer | undefined
  /** Names must not hold a colon: the tool prints `name:value`. */
  headers: { name: string; value: Buffer | undefined }[]
}

/** Reads a topic to its (silent) end and returns every record, in the order in which the consumer delivered them. */
export async function javaConsole(options: JavaConsoleOptions): Promise<JavaRecord[]> {
  const { classPath } = await ensureJavaParts({ onProgress: () => {} })
  const folder = await mkdtemp(join(tmpdir(), 'tallystream-console-'))
  try {
    // Null passes the same printing as bytes do, so only a word that nobody could have written tells it apart.
    const nullMark = randomBytes(12).toString('hex')
    const formatter = writeSettings(folder, 'formatter.properties', {
      ...formatterProperties,
      'null.literal': nullMark,
    })
    const consumer = writeSettings(folder, 'consumer.properties', {
      'auto.offset.reset': 'earliest',
      'enable.auto.commit': 'false',
      ...options.properties,
    })
    const result = await runProgram(
      'java',
      [
        ...[
          '-Xmx512m',
          '-XX:+UseSerialGC',
          '-XX:TieredStopAtLevel=1',
          `-Dlog4j2.configurationFile=${loggingFile}`,
        ],
        ...['-cp', classPath, 'org.apache.kafka.tools.consumer.ConsoleConsumer'],
        ...['--bootstrap-server', options.brokers, '--topic', options.topic],
        // By the option: the tool sets its own default (uncommitted) over what the properties say.
        ...['--isolation-level', options.isolationLevel ?? 'read_committed'],
        ...['--command-config', consumer, '--formatter-config', formatter],
        ...['--timeout-ms', String(options.idleTimeoutMs ?? 5000), ...rangeArguments(options)],
      ],
      { timeoutMs: 10 * 60_000 },
    )
    return parseRecords(result, nullMark)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const formatterProperties = {
  'print.timestamp': 'true',
  'print.partition': 'true',
  'print.offset': 'true',
  'print.headers': 'true',
  'print.key': 'true',
  'print.value': 'true',
  ...separatorProperties,
  'key.deserializer': 'org.apache.kafka.common.serialization.BytesDeserializer',
  'value.deserializer': 'org.apache.kafka.common.serialization.BytesDeserializer',
  'headers.deserializer': 'org.apache.kafka.common.serialization.BytesDeserializer',
}

function writeSettings(folder: string, name: string, properties: Record<string, string>): string {
  const file = join(folder, name)
  const lines = Object.entries(properties).map(([key, value]) => `${key}=${value}`)
  writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o600 })
  return file
}

function rangeArguments(options: JavaConsoleOptions): string[] {
  const limit = options.recordsMax === undefined ? [] : ['--max-messages', String(options.recordsMax)]
  if (options.partition === undefined) return [...limit, '--from-beginning']
  return [...limit, '--partition', String(options.partition), '--offset', String(options.offset ?? 0)]
}

const recordStart = /^(?:CreateTime|LogAppendTime):(\d+)$/

function parseRecords({ stdout, stderr }: ProgramResult, nullMark: string): JavaRecord[] {
  const parseBytes = (text: string | undefined) => (text === nullMark ? undefined : unescapeBytes(text ?? ''))
  const records: JavaRecord[] = []
  for (const line of stdout.split('\n')) {
    const [timestamp = '', partition = '', offset = '', headers = '', key, value] = line.split(PART_SEPARATOR)
    const timestampMs = recordStart.exec(timestamp)?.[1]
    // The tool's log shares standard output (silence reached is its way of saying "end"); the count below finds what is missed.
    if (timestampMs === undefined) continue
    records.push({
      timestampMs: Number(timestampMs),
      partition: Number(partition.replace('Partition:', '')),
      offset: Number(offset.replace('Offset:', '')),
      key: parseBytes(key),
      value: parseBytes(value),
      headers: parseHeaders(headers, parseBytes),
    })
  }
  const summary = /Processed a total of (\d+) messages/.exec(stderr + stdout)?.[1]
  if (summary === undefined || Number(summary) !== records.length) {
    const tail = `${stdout}\n${stderr}`.split('\n').slice(-15).join('\n')
    throw new OperatingError(
      'console_failed',
      `Java's console consumer: expected ${summary ?? 'a summary'}, parsed ${records.length} records.\n${tail}`,
    )
  }
  return records
}

/** Kafka's Bytes prints printable ASCII as it is and the rest as \xNN, a backslash too. */
function unescapeBytes(text: string): Buffer {
  const plain = text.replace(/\\x([0-9A-Fa-f]{2})/g, (_match, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
  return Buffer.from(plain, 'latin1')
}

function parseHeaders(text: string, parseBytes: (text: string) => Buffer | undefined): JavaRecord['headers'] {
  if (text === '' || text === 'NO_HEADERS') return []
  return text.split(HEADER_SEPARATOR).map((pair) => {
    const colon = pair.indexOf(':')
    return { name: pair.slice(0, colon), value: parseBytes(pair.slice(colon + 1)) }
  })
}
