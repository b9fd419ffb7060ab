/** Runs the command line (program.ts): wrong usage ends with exit code 2, and as one JSON document where JSON was asked for. */
import { CommanderError } from 'commander'
import { exitCodes, jsonText } from '#cli/command.ts'
import { buildProgram } from '#cli/program.ts'

try {
  await buildProgram().parseAsync()
} catch (error) {
  if (!(error instanceof CommanderError)) throw error
  // Commander has printed its message already; asking for help is no error.
  process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
  // Whoever asked for JSON gets one document whatever happens.
  if (error.exitCode !== 0 && process.argv.includes('--json')) {
    process.stdout.write(`${jsonText({ error: { code: 'usage', message: error.message } })}\n`)
  }
}
