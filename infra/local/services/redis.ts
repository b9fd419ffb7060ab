/**
 * Redis as a private process. Without persistence on purpose: it is a cache, and an old copy loaded at start would hold
 * balances from before what Postgres has learned meanwhile; an empty one is filled from the truth.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ensureRedisServer } from '#infra/local/downloads.ts'
import { redisAnswers } from '#infra/local/probes.ts'
import {
  portAt,
  type ServiceContext,
  type ServiceDefinition,
  type ServicePlan,
} from '#infra/local/services/service.ts'

async function prepare(context: ServiceContext): Promise<ServicePlan> {
  const command = await ensureRedisServer(context)
  const port = portAt(context.ports, 0)
  mkdirSync(context.folder, { recursive: true })
  const password = keptPassword(join(context.folder, 'password'))
  const configurationFile = join(context.folder, 'redis.conf')
  const lines = [
    'bind 127.0.0.1',
    `port ${port}`,
    `requirepass ${password}`,
    'save ""',
    'appendonly no',
    'daemonize no',
  ]
  writeFileSync(configurationFile, `${lines.join('\n')}\n`, { mode: 0o600 })
  return {
    process: {
      command,
      arguments: [configurationFile],
      workingFolder: context.folder,
      logFile: context.logFile,
    },
    endpoints: { redisUrl: `redis://:${password}@127.0.0.1:${port}` },
    stopSignal: 'SIGTERM',
    isReady: () => redisAnswers('127.0.0.1', port, password),
  }
}

/**
 * A password although it listens on loopback only: other users of the machine could write files as us through CONFIG.
 * The same over restarts, so that whoever is connected finds it again.
 */
function keptPassword(file: string): string {
  if (!existsSync(file)) writeFileSync(file, randomBytes(18).toString('hex'), { mode: 0o600 })
  return readFileSync(file, 'utf8')
}

export const redisService: ServiceDefinition = { name: 'redis', portsCount: 1, prepare }
