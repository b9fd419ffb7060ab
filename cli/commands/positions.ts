/**
 * `positions show | check | skip | move | publisher`: where a ledger reads and has published, and an operator's ways past an incident.
 * Skipping and moving are commands in the serial history: who, why, from where to where. See docs/positions.md.
 */
import { randomUUID } from 'node:crypto'
import type { Command } from 'commander'
import { addCommand, exitCodes } from '#cli/command.ts'
import { openReader, openWriter } from '#cli/ledger-client.ts'
import { actorOf, type WriteOptions, waitMsOf, withWriteOptions } from '#cli/options.ts'
import { openLogSide } from '#cli/positions/log-side.ts'
import { table } from '#cli/table.ts'
import { changeResult } from '#cli/writes.ts'
import { ConfigurationError, OperatingError } from '#platform/errors.ts'
import type { PartitionRange } from '#platform/kafka/offset-ranges.ts'
import { acceptPublished } from '#platform/postgres/clusters.ts'
import { makeEnginePool } from '#platform/postgres/engine-pool.ts'
import { readStoredPositions, type StoredPosition } from '#platform/postgres/positions.ts'

interface MoveOptions extends WriteOptions {
  to: string
  reason: string
}

/** Registers `positions` and its subcommands. */
export function registerPositions(program: Command): void {
  const positions = program
    .command('positions')
    .description('where the ledger reads and has published; ways past an incident')
  addShow(positions)
  addCheck(positions)
  addMove(positions, {
    verb: 'skip',
    kind: 'partition.skip',
    summary: 'pass over records that can’t be read; they become one dead letter',
    example: 'positions skip transactions:3 --to 1044 --reason "damaged on disk, see ticket 7" --yes',
  })
  addMove(positions, {
    verb: 'move',
    kind: 'partition.move',
    summary: 'read on from another offset, where the topic was made anew',
    example: 'positions move transactions:3 --to start --reason "topic made anew" --yes',
  })
  addPublisher(positions)
}

const nameOf = ({ topic, partition }: StoredPosition): string => `${topic}:${partition}`
const textOf = (value: bigint | null | undefined): string | null => value?.toString() ?? null
const timeOf = (ms: bigint | null): string | null => (ms === null ? null : new Date(Number(ms)).toISOString())

const shown = (position: StoredPosition, range: PartitionRange | undefined) => ({
  partition: nameOf(position),
  next_offset: position.nextOffset.toString(),
  log_start: textOf(range?.start),
  log_end: textOf(range?.end),
  lag: range === undefined ? null : (range.end - position.nextOffset).toString(),
  last_offset: textOf(position.last?.offset),
  last_time: timeOf(position.lastTimestampMs),
  owner: position.owner === '' ? null : position.owner,
  incident: position.incident,
})

function addShow(positions: Command): void {
  addCommand(positions, {
    usage: 'show',
    summary: 'show where each partition stands; exit code 1 where one has an incident',
    example: 'positions show',
    run: async (context) => {
      const { configuration, pool, progress } = await openReader(context)
      const { clusterId } = configuration.ledger
      const stored = await readStoredPositions(pool, clusterId)
      const log = openLogSide(context, configuration)
      const ranges = await log.ranges(stored)
      const rows = stored.map((position) => shown(position, ranges.get(nameOf(position))))
      const { committed, seen } = await log.publisher()
      const publisher = {
        committed: textOf(committed),
        seen: textOf(seen),
        head: progress.sequence.toString(),
      }
      const heading = ['partition', 'next', 'log', 'lag', 'last record', 'incident']
      const lines = rows.map((row) => [
        row.partition,
        row.next_offset,
        row.log_end === null ? 'not there' : `${row.log_start}–${row.log_end}`,
        row.lag ?? '',
        row.last_time ?? 'none',
        row.incident === null ? '' : `${row.incident.code}: ${row.incident.detail}`,
      ])
      const text = [
        `cluster ${clusterId}`,
        table([heading, ...lines], [1, 3]),
        `published: batch ${publisher.seen ?? 'none'} of ${publisher.head} (committed position ${publisher.committed ?? 'none'})`,
      ].join('\n')
      const json = { cluster: clusterId, partitions: rows, publisher }
      const isFine = rows.every((row) => row.incident === null && row.log_end !== null)
      return isFine ? { json, text } : { json, text, exitCode: exitCodes.difference }
    },
  })
}

function addCheck(positions: Command): void {
  addCommand(positions, {
    usage: 'check',
    summary:
      'look in the logs for the last applied record of each partition; exit code 1 where one is another',
    example: 'positions check',
    run: async (context) => {
      const { configuration, pool } = await openReader(context)
      const stored = await readStoredPositions(pool, configuration.ledger.clusterId)
      const log = openLogSide(context, configuration)
      const ranges = await log.ranges(stored)
      const partitions: { partition: string; last_offset: string | null; log: string }[] = []
      for (const position of stored) {
        const verdict = await log.check(position, ranges.get(nameOf(position)))
        partitions.push({
          partition: nameOf(position),
          last_offset: textOf(position.last?.offset),
          log: verdict,
        })
      }
      const wrong = partitions.filter((each) => each.log === 'other' || each.log === 'out_of_range')
      const rows = partitions.map((each) => [each.partition, each.last_offset ?? '', each.log])
      const json = { ok: wrong.length === 0, partitions }
      const text = table([['partition', 'last record', 'in the log'], ...rows], [1])
      return wrong.length === 0 ? { json, text } : { json, text, exitCode: exitCodes.difference }
    },
  })
}

function addMove(
  positions: Command,
  move: { verb: string; kind: string; summary: string; example: string },
): void {
  addCommand<MoveOptions>(positions, {
    usage: `${move.verb} <partition>`,
    audited: true,
    summary: move.summary,
    example: move.example,
    configure: (command) =>
      withWriteOptions(command)
        .requiredOption('--to <offset>', 'where to read on: an offset, or start or end of the log')
        .requiredOption('--reason <words>', 'why, in your words')
        .requiredOption('--yes', 'really do it: what lies between is not applied'),
    run: async (context, options, [name]) => {
      const [actor, waitMs] = [actorOf(options), waitMsOf(options)]
      const ledger = await openWriter(context)
      const { clusterId } = ledger.configuration.ledger
      const find = async () =>
        (await readStoredPositions(ledger.pool, clusterId)).find((position) => nameOf(position) === name)
      const position = await find()
      if (position === undefined) {
        throw new OperatingError('position_unknown', `there is no position of ${JSON.stringify(name)}`)
      }
      const log = openLogSide(context, ledger.configuration)
      const to = targetOf(options.to, (await log.ranges([position])).get(name!))
      const command = {
        id: randomUUID(),
        kind: move.kind,
        subject: name!,
        parameters: { from: position.nextOffset.toString(), to: to.toString() },
        actor,
        reason: options.reason,
      }
      const submission = await ledger.submit('commands', name!, command, waitMs)
      const now = (await find())!
      return changeResult(submission, {
        subject: { partition: name },
        state: { from: position.nextOffset.toString(), next_offset: now.nextOffset.toString() },
        text: `${name} is read on from ${now.nextOffset}; whoever reads it takes it anew within half a minute`,
      })
    },
  })
}

/** @throws ConfigurationError for what is no offset within the log */
function targetOf(text: string, range: PartitionRange | undefined): bigint {
  if (range === undefined)
    throw new ConfigurationError('expected a partition that is there, found no log of it')
  if (text === 'start') return range.start
  if (text === 'end') return range.end
  const to = /^\d{1,18}$/.test(text) ? BigInt(text) : -1n
  if (to >= range.start && to <= range.end) return to
  throw new ConfigurationError(
    `expected --to as an offset from ${range.start} to ${range.end}, start or end; got ${JSON.stringify(text)}`,
  )
}

function addPublisher(positions: Command): void {
  addCommand<{ accept?: boolean; yes?: boolean }>(positions, {
    usage: 'publisher',
    audited: ({ accept }) => accept === true,
    summary:
      'show what was published; with --accept, go on behind what Kafka has, though more was noted as published',
    example: 'positions publisher --accept --yes',
    configure: (command) =>
      command
        .option('--accept', 'after publisher_position_lost: what Kafka has lost is sent again')
        .option('--yes', 'really accept it'),
    run: async (context, options) => {
      const { configuration, progress } = await openReader(context)
      const { committed, seen } = await openLogSide(context, configuration).publisher()
      const state = {
        committed: textOf(committed),
        seen: textOf(seen),
        noted: progress.publishedSequence.toString(),
        head: progress.sequence.toString(),
      }
      const text = `batch ${state.seen ?? 'none'} is the last one in Kafka (position ${state.committed ?? 'none'}), ${state.noted} was noted, ${state.head} is the last of the ledger`
      if (options.accept !== true) return { json: { ...state, accepted: false }, text }
      if (options.yes !== true) throw new ConfigurationError('expected --yes with --accept, got none')
      const pool = makeEnginePool(configuration.postgres, {
        applicationName: 'tallystream positions',
        connectionsMax: 1,
      })
      context.onClose(() => pool.end())
      await acceptPublished(pool)
      return {
        json: { ...state, accepted: true },
        text: `${text}\naccepted: publishing goes on behind what Kafka has`,
      }
    },
  })
}
