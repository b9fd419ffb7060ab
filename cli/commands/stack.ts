/** `stack up | down | status | reset`: the local broker, registry, Postgres and Redis. */
import type { Command } from 'commander'
import { addCommand, type CommandContext, type CommandResult, exitCodes } from '#cli/command.ts'
import { compose, composeEndpoints } from '#infra/local/compose.ts'
import { resetStack, stackStatus, startStack, stopStack } from '#infra/local/stack.ts'
import type { StackEndpoints } from '#infra/local/state.ts'
import { resolveLocalSettings } from '#platform/config/environment.ts'

const endpointLabels: Record<keyof StackEndpoints, string> = {
  kafkaBrokers: 'KAFKA_BROKERS',
  schemaRegistryUrl: 'SCHEMA_REGISTRY_URL',
  databaseUrl: 'DATABASE_URL',
  redisUrl: 'REDIS_URL',
  kafkaSaslBrokers: 'KAFKA_BROKERS (SASL_SSL)',
  kafkaSslCaFile: 'KAFKA_SSL_CA_FILE',
}

function endpointLines(endpoints: StackEndpoints): string[] {
  return Object.entries(endpoints).map(
    ([key, value]) => `${endpointLabels[key as keyof StackEndpoints]}=${value}`,
  )
}

/** `STACK=containers`: the same commands on the compose file. */
function inContainers(): boolean {
  return resolveLocalSettings().containers
}

async function composeResult(context: CommandContext, composeArguments: string[]): Promise<CommandResult> {
  await compose(composeArguments, { onProgress: context.progress, signal: context.signal })
  const lines = (await compose(['ps'], { onProgress: () => {} })).trim()
  return {
    json: { containers: true, endpoints: composeEndpoints },
    text: [lines, ...endpointLines(composeEndpoints)].join('\n'),
  }
}

function statusResult(): CommandResult {
  const { services, endpoints } = stackStatus()
  const lines = services.map((service) =>
    service.running
      ? `${service.name.padEnd(9)} running  pid ${service.pid}, ports ${service.ports.join(' ')}, log ${service.logFile}`
      : `${service.name.padEnd(9)} not running`,
  )
  const result = {
    json: { services, endpoints },
    text: [...lines, ...endpointLines(endpoints)].join('\n'),
  }
  return services.every(({ running }) => running) ? result : { ...result, exitCode: exitCodes.unreachable }
}

/** Registers `stack` and its subcommands. */
export function registerStack(program: Command): void {
  const stack = program.command('stack').description('the local services: broker, registry, Postgres, Redis')
  addCommand(stack, {
    usage: 'up',
    summary: 'start what is not running yet, and leave it running; data of earlier runs is kept',
    example: 'stack up',
    run: async (context) => {
      if (inContainers()) return composeResult(context, ['up', '-d', '--wait'])
      await startStack({ mode: 'detached', onProgress: context.progress, signal: context.signal })
      return statusResult()
    },
  })
  addCommand(stack, {
    usage: 'down',
    summary: 'end the services; data is kept',
    example: 'stack down',
    run: async (context) => {
      if (inContainers()) return composeResult(context, ['stop'])
      const stopped = await stopStack({ onProgress: context.progress })
      return {
        json: { stopped },
        text: stopped.length === 0 ? 'nothing was running' : `stopped ${stopped.join(', ')}`,
      }
    },
  })
  addCommand(stack, {
    usage: 'status',
    summary: 'show what runs, and where; exit code 3 where a service is not running',
    example: 'stack status --json',
    run: async (context) => (inContainers() ? composeResult(context, ['ps']) : statusResult()),
  })
  addCommand(stack, {
    usage: 'reset',
    summary: 'end the services and delete all their data',
    example: 'stack reset --yes',
    configure: (command) =>
      command.requiredOption('--yes', 'really delete all local topics, schemas and tables'),
    run: async (context) => {
      if (inContainers()) return composeResult(context, ['down', '--volumes'])
      await resetStack({ onProgress: context.progress })
      return { json: { reset: true }, text: 'the local stack and its data are gone' }
    },
  })
}
