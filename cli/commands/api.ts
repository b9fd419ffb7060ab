/** `api`: the HTTP API of one ledger in the foreground. */
import type { Command } from 'commander'
import { startApi } from '#api/server.ts'
import { addCommand } from '#cli/command.ts'
import { loadConfiguration } from '#cli/configuration.ts'
import { maskCardNumbers } from '#domain/transactions/card-numbers.ts'
import { createLogger } from '#platform/observability/logger.ts'

/** Registers `api`. */
export function registerApi(program: Command): void {
  addCommand(program, {
    usage: 'api',
    summary: 'serve balances, accounts and transactions over HTTP; until stopped',
    example: 'api',
    run: async (context) => {
      const configuration = loadConfiguration()
      const logger = createLogger({
        level: configuration.logLevel,
        service: 'api',
        redactText: maskCardNumbers,
      })
      const server = await startApi({ configuration, logger })
      context.onClose(() => server.close())
      logger.info({ url: server.url }, 'listening')
      context.progress(`listening on ${server.url}, documented at ${server.url}/docs`)
      await context.untilStopped()
      return { json: { url: server.url, stopped: true }, text: 'stopped' }
    },
  })
}
