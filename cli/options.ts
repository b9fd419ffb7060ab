/** Options that several commands on a ledger's data share, and how what a person typed is read. */
import { userInfo } from 'node:os'
import { type Command, Option } from 'commander'
import { readAmount } from '#api/amounts.ts'
import { Problem } from '#api/problem.ts'
import { cursorOf, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, timeOf } from '#api/request.ts'
import { ACTOR_LENGTH_MAX } from '#domain/transactions/limits.ts'
import { ConfigurationError } from '#platform/errors.ts'
import { type Cursor, encodeCursor } from '#platform/postgres/queries/cursor.ts'

const WAIT_DEFAULT_S = 10
const WAIT_MAX_S = 600

export interface ActorOptions {
  actor: string
}

export interface WriteOptions extends ActorOptions {
  wait: string
}

export interface PageOptions {
  limit: string
  after?: string
}

/** Who acts where nobody is named: the person at this machine. */
export function defaultActor(): string {
  try {
    return `cli:${userInfo().username}`.slice(0, ACTOR_LENGTH_MAX)
  } catch {
    // A container's user may have no name.
    return 'cli:unknown'
  }
}

/** `--actor`, for commands that change something. */
export const withActorOption = (command: Command): Command =>
  command.option('--actor <name>', 'who acts', defaultActor())

/** `--actor` and `--wait`, for commands that publish a record. */
export const withWriteOptions = (command: Command): Command =>
  withActorOption(command).option(
    '--wait <seconds>',
    'how long to wait for the outcome; 0 = only publish',
    String(WAIT_DEFAULT_S),
  )

/** `--limit` and `--after`, for commands that list. */
export const withPageOptions = (command: Command): Command =>
  command
    .option('--limit <n>', `most items to show, up to ${PAGE_SIZE_MAX}`, String(PAGE_SIZE_DEFAULT))
    .option('--after <cursor>', 'go on behind the page that named this as next')

/** An option that takes one of some words. */
export const choice = (flags: string, description: string, words: readonly string[]): Option =>
  new Option(flags, description).choices([...words])

/** Gathers an option that may be given several times. */
export const collect = (value: string, before: readonly string[] = []): string[] => [...before, value]

/** Reads a person's value; what the API would answer with a problem is wrong usage here. @throws ConfigurationError saying what it got */
export function asUsage<Value>(read: () => Value, got?: string): Value {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    const message = got === undefined ? error.message : `${error.message} Got ${JSON.stringify(got)}.`
    throw new ConfigurationError(message, { cause: error })
  }
}

/** A whole number in bounds where the option was given. @throws ConfigurationError */
export const maybeWholeOf = (
  text: string | undefined,
  option: string,
  bounds: { min: number; max: number },
): number | undefined => (text === undefined ? undefined : wholeOf(text, option, bounds))

/** A whole number in bounds. @throws ConfigurationError */
export function wholeOf(text: string, option: string, bounds: { min: number; max: number }): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (value >= bounds.min && value <= bounds.max) return value
  throw new ConfigurationError(
    `expected ${option} as a whole number from ${bounds.min} to ${bounds.max}, got ${JSON.stringify(text)}`,
  )
}

export const waitMsOf = ({ wait }: WriteOptions): number =>
  wholeOf(wait, '--wait', { min: 0, max: WAIT_MAX_S }) * 1000

/** @throws ConfigurationError */
export function actorOf({ actor }: ActorOptions): string {
  if (actor.length > 0 && actor.length <= ACTOR_LENGTH_MAX) return actor
  throw new ConfigurationError(`expected --actor of 1 to ${ACTOR_LENGTH_MAX} characters, got ${actor.length}`)
}

export const limitOf = ({ limit }: PageOptions): number =>
  wholeOf(limit, '--limit', { min: 1, max: PAGE_SIZE_MAX })

/** The place in `--after`, of so many numbers. @throws ConfigurationError */
export function afterOf({ after }: PageOptions, length: number): Cursor | null {
  try {
    return cursorOf(after, length)
  } catch (error) {
    const message = `expected --after as the page before named it, got ${JSON.stringify(after)}`
    throw new ConfigurationError(message, { cause: error })
  }
}

/** What `--after` takes to go on; null = that was all. */
export const nextOf = (next: Cursor | null): string | null => (next === null ? null : encodeCursor(next))

/** Minor units of an amount in major units. @throws ConfigurationError naming the option */
export const amountOf = (text: string, currency: string, option: string): bigint =>
  asUsage(() => readAmount(text, currency, option), text)

/** A time from ISO 8601 text with its zone. @throws ConfigurationError */
export const momentOf = (text: string, option: string): Date => asUsage(() => timeOf(text, option), text)
