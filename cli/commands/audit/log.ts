/** `audit log list | verify`: who looked at and changed what, and whether the record of it is whole. */
import type { Command } from 'commander'
import { addCommand } from '#cli/command.ts'
import { loadConfiguration } from '#cli/configuration.ts'
import { table } from '#cli/table.ts'
import { ConfigurationError } from '#platform/errors.ts'
import { openStorage } from '#platform/object-storage/open-storage.ts'
import { AuditLog } from '#platform/postgres/audit-log.ts'
import { type AuditLogAnchor, checkAuditLog } from '#platform/postgres/audit-log-check.ts'
import { makeEnginePool } from '#platform/postgres/engine-pool.ts'
import { Archive } from '#processors/archive/archive.ts'

interface ListOptions {
  actor?: string
  action?: string
  subject?: string
  before?: string
  limit: string
}

/** Adds `audit log` and its subcommands. */
export function addAuditLog(audit: Command): void {
  const log = audit.command('log').description('who looked at and changed what')
  addList(log)
  addVerify(log)
}

const openLog = (onClose: (closer: () => Promise<void>) => void): AuditLog => {
  const pool = makeEnginePool(loadConfiguration().postgres, {
    applicationName: 'tallystream audit log',
    connectionsMax: 1,
  })
  onClose(() => pool.end())
  return new AuditLog(pool)
}

const numberOf = (text: string, option: string, max: bigint): bigint => {
  if (/^\d{1,18}$/.test(text) && BigInt(text) >= 1n && BigInt(text) <= max) return BigInt(text)
  throw new ConfigurationError(`expected ${option} from 1 to ${max}, found ${JSON.stringify(text)}`)
}

function addList(log: Command): void {
  addCommand<ListOptions>(log, {
    usage: 'list',
    summary: 'the newest entries, newest first',
    example: 'audit log list --subject alice',
    configure: (command) =>
      command
        .option('--actor <name>', 'of this actor')
        .option('--action <text>', 'whose action contains this')
        .option('--subject <text>', 'whose subject contains this')
        .option('--before <seq>', 'older than this entry')
        .option('--limit <n>', 'at most so many', '50'),
    run: async (context, { limit, before, actor, action, subject }) => {
      const filter = {
        ...(actor === undefined ? {} : { actor }),
        ...(action === undefined ? {} : { action }),
        ...(subject === undefined ? {} : { subject }),
        ...(before === undefined ? {} : { before: numberOf(before, '--before', 10n ** 18n) }),
      }
      const entries = await openLog(context.onClose).readNewest(
        filter,
        Number(numberOf(limit, '--limit', 1_000n)),
      )
      const shown = entries.map((entry) => ({
        ...entry,
        details: JSON.parse(entry.details) as unknown,
        previousHash: entry.previousHash.toString('hex'),
        hash: entry.hash.toString('hex'),
      }))
      const rows = entries.map(({ seq, at, actor: who, action: what, subject: whom, details }) => [
        String(seq),
        at,
        who,
        what,
        whom,
        details,
      ])
      return {
        json: { entries: shown },
        text: table([['seq', 'at', 'actor', 'action', 'subject', 'details'], ...rows]),
      }
    },
  })
}

function addVerify(log: Command): void {
  addCommand(log, {
    usage: 'verify',
    summary:
      'check the chain of the audit log, and what the archive knows of it (exit code 1 when something is wrong)',
    example: 'audit log verify',
    run: async (context) => {
      const opened = openLog(context.onClose)
      const anchor = await archivedAnchor(context.onClose)
      const { entries, seq, hash, findings } = await checkAuditLog(opened, anchor)
      const ok = findings.length === 0
      const lines = findings.map((found) => `${found.kind}: ${found.table} ${found.key}`)
      return {
        json: { ok, entries, seq, hash: hash.toString('hex'), archived_to: anchor?.seq ?? null, findings },
        text: [
          ...lines,
          `${entries} entries, the last is ${seq} (${hash.toString('hex')}): ${ok ? 'whole' : `${lines.length} findings`}`,
        ].join('\n'),
        exitCode: ok ? 0 : 1,
      }
    },
  })
}

/** The newest entry that the archive has seen: an end that was cut off shows by it. Null without an archive. */
async function archivedAnchor(
  onClose: (closer: () => Promise<void>) => void,
): Promise<AuditLogAnchor | null> {
  const { archive, ledger } = loadConfiguration()
  if (archive.url === undefined) return null
  const storage = openStorage(archive)
  onClose(() => storage.close())
  const opened = new Archive(storage, ledger.name)
  await opened.refresh()
  return await opened.auditLogAnchor()
}
