/** The configuration of a command: the environment first, the running local stack for what it leaves out. */
import { composeEndpoints } from '#infra/local/compose.ts'
import { readRunningEndpoints } from '#infra/local/state.ts'
import {
  type Configuration,
  type LocalEndpoints,
  resolveConfiguration,
} from '#platform/config/configuration.ts'
import { processEnvironment, resolveLocalSettings } from '#platform/config/environment.ts'

/**
 * Reads and checks everything.
 *
 * @param localEndpoints Of a stack that the command started itself; otherwise the one that `stack up` started is asked.
 * @throws ConfigurationError listing all that is wrong; it names `npx tallystream stack up` where addresses are missing.
 */
export function loadConfiguration(
  localEndpoints: LocalEndpoints | undefined = runningEndpoints(),
): Configuration {
  return resolveConfiguration(processEnvironment(), { localEndpoints })
}

function runningEndpoints(): LocalEndpoints | undefined {
  return resolveLocalSettings().containers ? composeEndpoints : readRunningEndpoints()
}
