/** The command line: every subcommand by name. What a command does stands in its own file below cli/commands/. */
import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { completeHelp } from '#cli/command.ts'
import { registerAccounts } from '#cli/commands/accounts.ts'
import { registerApi } from '#cli/commands/api.ts'
import { registerArchive } from '#cli/commands/archive.ts'
import { registerAudit } from '#cli/commands/audit.ts'
import { registerBalances } from '#cli/commands/balances.ts'
import { registerBench } from '#cli/commands/bench.ts'
import { registerCache } from '#cli/commands/cache.ts'
import { registerCards } from '#cli/commands/cards.ts'
import { registerDemo } from '#cli/commands/demo.ts'
import { registerDlq } from '#cli/commands/dlq.ts'
import { registerDoctor } from '#cli/commands/doctor.ts'
import { registerFaults } from '#cli/commands/faults.ts'
import { registerFraud } from '#cli/commands/fraud.ts'
import { registerGenerate } from '#cli/commands/generate.ts'
import { registerImport } from '#cli/commands/import.ts'
import { registerMigrate } from '#cli/commands/migrate.ts'
import { registerPeriods } from '#cli/commands/periods.ts'
import { registerPositions } from '#cli/commands/positions.ts'
import { registerRecon } from '#cli/commands/recon.ts'
import { registerRecover } from '#cli/commands/recover.ts'
import { registerReviews } from '#cli/commands/reviews.ts'
import { registerRules } from '#cli/commands/rules.ts'
import { registerRun } from '#cli/commands/run.ts'
import { registerStack } from '#cli/commands/stack.ts'
import { registerStatements } from '#cli/commands/statements.ts'
import { registerTopics } from '#cli/commands/topics.ts'
import { registerTransactions } from '#cli/commands/transactions.ts'

/** Explicit, in the order of the help text: a newcomer's first commands come first. */
const registrations: readonly ((program: Command) => void)[] = [
  registerDemo,
  registerDoctor,
  registerStack,
  registerMigrate,
  registerTopics,
  registerRun,
  registerAccounts,
  registerTransactions,
  registerBalances,
  registerCards,
  registerReviews,
  registerRules,
  registerFraud,
  registerDlq,
  registerPositions,
  registerGenerate,
  registerImport,
  registerStatements,
  registerRecon,
  registerApi,
  registerCache,
  registerArchive,
  registerAudit,
  registerRecover,
  registerPeriods,
  registerBench,
  registerFaults,
]

/** From nothing to a first payment. */
const FIRST_STEPS = [
  'demo   (all of this by itself, with generated money)',
  'stack up',
  'migrate',
  'topics apply',
  'run   (the engine; it stays up: the rest goes into another terminal)',
  'accounts open bank --currency EUR --class external --unlimited',
  'accounts open alice --currency EUR',
  'transactions post --from bank --to alice --amount 12.75 --currency EUR',
  'balances alice',
]

/** The whole command line. Wrong usage is thrown as a CommanderError, after its message was printed. */
export function buildProgram(): Command {
  const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  const program = new Command('tallystream')
    .description(
      'Records on Kafka become double-entry balances in Postgres, exactly once, provable by replay.',
    )
    .version(manifest.version)
    .showHelpAfterError('(--help says more)')
  // Before the subcommands: they inherit it.
  program.exitOverride()
  // A word behind a command is the command's: `bench compare` has options of its own, `bench` has others by the same names.
  program.enablePositionalOptions()
  for (const register of registrations) register(program)
  completeHelp(program, FIRST_STEPS)
  return program
}
