/** `migrate`: brings the ledger's Postgres schema up to date. */
import type { Command } from 'commander'
import { addCommand } from '#cli/command.ts'
import { loadConfiguration } from '#cli/configuration.ts'
import { LOGIC_VERSION } from '#domain/ledger/state.ts'
import { migrateLedger } from '#platform/postgres/migrate.ts'

/** Registers `migrate`. */
export function registerMigrate(program: Command): void {
  addCommand(program, {
    usage: 'migrate',
    audited: true,
    summary: 'create or update the tables of the ledger; safe to run again',
    example: 'migrate',
    run: async () => {
      const { postgres, ledger } = loadConfiguration()
      const result = await migrateLedger(postgres, {
        ledger: ledger.name,
        nowMs: Date.now(),
        logicVersion: LOGIC_VERSION,
      })
      return {
        json: { schema: postgres.schema, ...result },
        text: `${postgres.schema}: ${result.applied.length} applied, ${result.alreadyThere.length} there already`,
      }
    },
  })
}
