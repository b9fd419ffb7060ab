/** `run`: the engine of one ledger in the foreground: processors, publisher, ticker, archiver. */
import { flushCompileCache } from 'node:module'
import type { Command } from 'commander'
import { addCommand } from '#cli/command.ts'
import { loadConfiguration } from '#cli/configuration.ts'
import { maskCardNumbers } from '#domain/transactions/card-numbers.ts'
import { ConfigurationError } from '#platform/errors.ts'
import { serveMetrics } from '#platform/http/metrics-server.ts'
import { makeEngineMetrics } from '#platform/observability/engine-metrics.ts'
import { createLogger } from '#platform/observability/logger.ts'
import { type Role, startPipeline } from '#processors/pipeline.ts'

const ROLES: readonly Role[] = ['processor', 'publisher', 'ticker', 'archiver', 'reconciler']

const rolesOf = (text: string): Role[] => {
  const roles = text.split(',').map((role) => role.trim())
  const unknown = roles.find((role) => !(ROLES as readonly string[]).includes(role))
  if (unknown !== undefined) {
    throw new ConfigurationError(`expected --roles of ${ROLES.join(', ')}, found "${unknown}"`)
  }
  return roles as Role[]
}

/** Registers `run`. */
export function registerRun(program: Command): void {
  addCommand<{ roles?: string }>(program, {
    usage: 'run',
    summary: 'run the engine: apply what is on the ingest topics, publish the results; until stopped',
    example: 'run --roles processor,publisher,ticker',
    configure: (command) =>
      command.option(
        '--roles <list>',
        'what this process does: processor, publisher, ticker, archiver, reconciler (default: all; archiver where ARCHIVE_URL is set)',
      ),
    run: async (context, { roles }) => {
      const configuration = loadConfiguration()
      const isArchived = configuration.archive.url !== undefined
      const logger = createLogger({
        level: configuration.logLevel,
        service: 'engine',
        redactText: maskCardNumbers,
      })
      const metrics = makeEngineMetrics()
      // First, so that one that can't be watched takes no partitions from those that can.
      let ready = (): boolean => false
      const server = await serveMetrics({
        host: configuration.api.host,
        port: configuration.api.metricsPort,
        registry: metrics.registry,
        ready: () => ready(),
      })
      context.onClose(() => server.close())
      logger.info({ url: server.url }, 'metrics and health')
      const pipeline = await startPipeline({
        configuration,
        roles:
          roles === undefined ? ROLES.filter((role) => role !== 'archiver' || isArchived) : rolesOf(roles),
        logger,
        metrics,
        onIncident: (incident) => {
          metrics.incidents.inc({ code: incident.code })
          logger.error({ code: incident.code }, `incident: ${incident.message}`)
        },
      })
      context.onClose(() => pipeline.stop())
      ready = () => pipeline.ready()
      // At its end a process keeps what was compiled for the next one; one that is killed has no end.
      flushCompileCache()
      await Promise.race([context.untilStopped(), pipeline.ended])
      return { json: { stopped: true }, text: 'stopped' }
    },
  })
}
