/** The one door to the process environment: everything else gets its values passed, so that what a run depends on is in one place. */

/** Names to values; an empty value counts as not set (a shell's `NAME= command` means "without"). */
export type Environment = Readonly<Record<string, string | undefined>>

/** The environment of this process. */
export function processEnvironment(): Environment {
  return process.env
}

/** What the local stack needs to know before any service exists. */
export interface LocalSettings {
  /** Where downloads are kept between runs and clones; undefined means the default below the home folder. */
  cacheFolder: string | undefined
  /** True when containers instead of private processes are asked for (`STACK=containers`). */
  containers: boolean
  /** The search path for programs (java, mvn, redis-server). */
  executablePath: string
}

/** Reads what starts the local stack. Never fails: unknown values mean the default, and `doctor` shows what was understood. */
export function resolveLocalSettings(environment: Environment = processEnvironment()): LocalSettings {
  return {
    cacheFolder: environment.TALLYSTREAM_CACHE || undefined,
    containers: environment.STACK === 'containers',
    executablePath: environment.PATH ?? '',
  }
}

/** Folder of larger data sets for the tests that need them (`TALLYSTREAM_TEST_DATA`); undefined = those tests are skipped. */
export const testDataFolder = (environment: Environment = processEnvironment()): string | undefined =>
  environment.TALLYSTREAM_TEST_DATA || undefined
