/** `audit outputs`: is what left through Kafka and Redis what Postgres decided, once and in order? */
import type { Command } from 'commander'
import { addCommand } from '#cli/command.ts'
import { rebuildLedgerCache } from '#cli/commands/cache.ts'
import { loadConfiguration } from '#cli/configuration.ts'
import { table } from '#cli/table.ts'
import { createLogger } from '#platform/observability/logger.ts'
import { auditLedgerOutputs, type OutputsAudit } from '#processors/auditing-outputs.ts'

const PROGRESS_EVERY_MS = 2_000
/** Findings shown to a person; `--json` has them all. */
const SHOWN_MAX = 20

/** Adds `audit outputs`. */
export function addAuditOutputs(audit: Command): void {
  addCommand<{ repair?: boolean }>(audit, {
    usage: 'outputs',
    audited: ({ repair }) => repair === true,
    summary:
      'compare output topics and the balance cache with the batch records (exit code 1 on a difference)',
    example: 'audit outputs --json',
    configure: (command) =>
      command.option(
        '--repair',
        'publish what is missing, once, and rebuild a wrong cache; the publisher must be stopped',
      ),
    run: async (context, { repair = false }) => {
      const configuration = loadConfiguration()
      const logger = createLogger({ level: configuration.logLevel, service: 'audit' })
      let shownAtMs = performance.now()
      const result = await auditLedgerOutputs({
        configuration,
        repair,
        logger,
        onBatch: (sequence, published) => {
          if (performance.now() - shownAtMs < PROGRESS_EVERY_MS) return
          shownAtMs = performance.now()
          context.progress(`batch ${sequence} of ${published}`)
        },
        signal: context.signal,
      })
      const rebuilt = repair && result.cache.differences.length > 0
      if (rebuilt) await rebuildLedgerCache(configuration)
      const ok = result.findings.length === 0 && result.cache.differences.length === 0
      const { missing, ...shown } = result
      return {
        json: { ok, ...shown, cache: { ...result.cache, rebuilt } },
        text: textOf(result, rebuilt),
        exitCode: ok ? 0 : 1,
      }
    },
  })
}

function textOf(result: OutputsAudit, rebuilt: boolean): string {
  const counts = result.topics.map((each) =>
    [
      each.topic,
      each.expected,
      each.found,
      each.missing,
      each.repeated,
      each.out_of_order,
      each.different,
    ].map(String),
  )
  const findings = result.findings
    .slice(0, SHOWN_MAX)
    .map(
      ({ topic, kind, sequence, key, partition, offset }) =>
        `${kind}: ${topic}${partition === null ? '' : `:${partition}:${offset}`}, batch ${sequence}, key ${key}`,
    )
  const { accounts, differences } = result.cache
  const cache = differences
    .slice(0, SHOWN_MAX)
    .map(({ account, kind, cached }) => `cache: ${account} is ${kind} (${cached})`)
  return [
    table(
      [['topic', 'expected', 'found', 'missing', 'repeated', 'out of order', 'different'], ...counts],
      [1, 2, 3, 4, 5, 6],
    ),
    ...findings,
    ...(result.findings.length > SHOWN_MAX ? [`and ${result.findings.length - SHOWN_MAX} more`] : []),
    ...cache,
    accounts === null
      ? 'no balance cache to compare'
      : `${accounts} accounts compared with the cache, ${differences.length} differ${rebuilt ? '; rebuilt' : ''}`,
    `${result.batches} batches up to ${result.published}; ${result.repaired} messages published by the repair`,
  ].join('\n')
}
