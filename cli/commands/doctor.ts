/** `doctor`: what this machine lacks, and the command that installs it. Before `npm ci` the program's door runs the same look. */
import type { Command } from 'commander'
import { addCommand } from '#cli/command.ts'
import { examineMachine, type Finding, finding, reportOf } from '#infra/local/doctor.mjs'
import { stackStatus } from '#infra/local/stack.ts'
import { type Environment, processEnvironment } from '#platform/config/environment.ts'

const ADDRESSES = {
  kafka: 'KAFKA_BROKERS',
  registry: 'SCHEMA_REGISTRY_URL',
  postgres: 'DATABASE_URL',
  redis: 'REDIS_URL',
} as const

/** Not a need, but the first question after "it doesn't connect". */
function examineServices(environment: Environment): Finding {
  const running = stackStatus().services.filter((service) => service.running)
  const given = Object.entries(ADDRESSES).filter(([, variable]) => environment[variable])
  const parts = [
    given.length > 0 ? `from the environment: ${given.map(([name]) => name).join(', ')}` : '',
    running.length > 0
      ? `local, running: ${running.map(({ name }) => name).join(', ')}`
      : 'local stack not running',
  ]
  const start = 'npx tallystream stack up'
  return finding('services', {
    ok: running.length + given.length >= Object.keys(ADDRESSES).length,
    required: false,
    found: parts.filter(Boolean).join('; '),
    remedy: { debian: start, macos: start },
  })
}

/** Registers `doctor`. */
export function registerDoctor(program: Command): void {
  addCommand(program, {
    usage: 'doctor',
    summary:
      'say what is missing on this machine, and what installs it (exit code 1 when something needed is)',
    example: 'doctor',
    run: async () => {
      const environment = processEnvironment()
      return reportOf([...(await examineMachine(environment)), examineServices(environment)])
    },
  })
}
