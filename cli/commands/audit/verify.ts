/** `audit verify`: names every row that was changed, added or removed by hand. */
import type { Command } from 'commander'
import { addCommand, exitCodes } from '#cli/command.ts'
import { loadConfiguration } from '#cli/configuration.ts'
import { table } from '#cli/table.ts'
import { auditVerify } from '#processors/auditing-verify.ts'

const SHOWN_MAX = 100

/** Adds `audit verify`. */
export function addAuditVerify(audit: Command): void {
  addCommand(audit, {
    usage: 'verify',
    summary: 'hash chain, sums, folds, gaps, and every row of every table that holds money or decisions',
    example: 'audit verify --json',
    run: async (context) => {
      const started = performance.now()
      const perSecond = (count: number) => Math.round(count / ((performance.now() - started) / 1_000))
      const { ok, findings, count, through, compared, rows } = await auditVerify({
        configuration: loadConfiguration(),
        onMessage: context.progress,
        onProgress: (done) => {
          const percent = Math.floor((done.inputs / Math.max(1, done.of)) * 100)
          context.progress(`${percent} %: batch ${done.batch}, ${done.rows} rows (${perSecond(done.rows)}/s)`)
        },
        signal: context.signal,
      })
      context.progress(`${rows} rows compared (${perSecond(rows)}/s)`)
      if (count > findings.length)
        context.progress(`${count} findings, of which ${findings.length} are listed`)
      const shown = findings.slice(0, SHOWN_MAX).map(({ table: name, key, kind }) => [name, key, kind])
      const lines = ok
        ? [`batches 1 to ${through}, ${rows} rows: every one is as it was decided`]
        : [`${count} findings`, table([['table', 'key', 'kind'], ...shown])]
      if (count > shown.length) lines.push(`… of ${count}; --json lists more`)
      if (compared < through) {
        lines.push(`the tables were compared up to batch ${compared}: what follows can't be derived`)
      }
      return {
        json: { ok, findings },
        text: lines.join('\n'),
        exitCode: ok ? exitCodes.ok : exitCodes.difference,
      }
    },
  })
}
