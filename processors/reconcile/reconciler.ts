/**
 * Reconciliation of a ledger: takes up new pairs and works on each in turn. One is active at a time, by a lease; two at once do no harm,
 * because every commit expects the version that it was decided on. Beside the money path: it never touches the ledger's head.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { ConfigurationError, IncidentError } from '#platform/errors.ts'
import type { ReconciliationStore } from '#platform/postgres/reconciliation/store.ts'
import type { InputPortion } from './input-topic.ts'
import { type CommandValue, isCommandId, PairRunner, type PairRunnerOptions } from './pair-runner.ts'

export interface ReconcilerOptions extends PairRunnerOptions {
  readonly store: ReconciliationStore
  readonly lease: { take(): Promise<boolean>; release(): Promise<void> }
  readonly leaseRenewMs: number
  readonly logger: {
    info(fields: object, message: string): void
    warn(fields: object, message: string): void
  }
  readonly onIncident: (incident: IncidentError) => void
}

const POLL_MS = 1_000
const RETRY_PAUSE_MS = { first: 250, most: 30_000 }
const COMMANDS_MAX = 1_000
/** Portions of one pair before the next one has its turn. */
const PORTIONS_MAX = 20

export class Reconciler {
  readonly #options: ReconcilerOptions
  readonly #runners = new Map<string, PairRunner>()
  /** Pairs that an incident stopped: until the process is started again. */
  readonly #stopped = new Set<string>()
  readonly #stopping = new AbortController()
  #failures = 0
  #done: Promise<void> = Promise.resolve()

  constructor(options: ReconcilerOptions) {
    this.#options = options
  }

  /** Whether it works, or stands by for another that does. */
  get ready(): boolean {
    return this.#failures === 0 && this.#stopped.size === 0
  }

  /** Runs until `stop`. An incident stops its pair, not the process: money goes on. */
  run(): Promise<void> {
    this.#done = this.#loop()
    return this.#done
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await Promise.race([this.#done.catch(() => undefined), sleep(3_000, undefined, { ref: false })])
    await this.#options.lease.release()
  }

  async #loop(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      let pauseMs = POLL_MS
      try {
        if (await this.#options.lease.take()) pauseMs = (await this.#round()) ? 0 : POLL_MS
        else pauseMs = this.#options.leaseRenewMs
        this.#failures = 0
      } catch (error) {
        this.#failures += 1
        pauseMs = Math.min(RETRY_PAUSE_MS.first * 2 ** Math.min(this.#failures, 10), RETRY_PAUSE_MS.most)
        this.#options.logger.warn({ err: error, pauseMs }, 'reconciliation failed and is tried again')
      }
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined)
    }
  }

  /** @returns whether there may be more */
  async #round(): Promise<boolean> {
    let isMore = await this.#takePairs()
    for (const row of await this.#options.store.pairs()) {
      if (this.#stopped.has(row.pair)) continue
      const runner = this.#runners.get(row.pair) ?? new PairRunner(this.#options)
      this.#runners.set(row.pair, runner)
      if (await this.#work(runner, row)) isMore = true
    }
    return isMore
  }

  async #work(runner: PairRunner, row: Parameters<PairRunner['work']>[0]): Promise<boolean> {
    const { leaseRenewMs, lease, onIncident } = this.#options
    let portions = 0
    let takenMs = performance.now()
    const mayGoOn = async () => {
      portions += 1
      if (this.#stopping.signal.aborted || portions >= PORTIONS_MAX) return false
      if (performance.now() - takenMs < leaseRenewMs) return true
      takenMs = performance.now()
      return await lease.take()
    }
    if (this.#stopping.signal.aborted || !(await lease.take())) return false
    try {
      return await runner.work(row, mayGoOn)
    } catch (error) {
      if (!(error instanceof IncidentError)) throw error
      this.#stopped.add(row.pair)
      onIncident(error)
      return false
    }
  }

  /** New pairs and new settings, before anything else. */
  async #takePairs(): Promise<boolean> {
    const { store, topics, readCommands } = this.#options
    const from = await store.position('', topics.commands, 0)
    const portion = await readCommands(from, COMMANDS_MAX)
    if (portion.position === null) return false
    const known = new Map((await store.pairs()).map(({ pair, settings }) => [pair, settings]))
    const { pairs, outcomes } = this.#decide(portion, known)
    await store.setPairs(pairs, outcomes, [portion.position])
    return portion.records.length > 0
  }

  #decide(portion: InputPortion<CommandValue>, known: Map<string, string>) {
    const pairs = new Map<string, string>()
    const outcomes: { pair: string; id: string; refusal: string | null }[] = []
    for (const { value } of portion.records) {
      if ('unreadable' in value || value.kind !== 'set_pair' || !isCommandId(value.id)) continue
      const refusal = refusalOfSettings(value, known.get(value.pair), this.#options.parseSettings)
      if (refusal === null) {
        pairs.set(value.pair, value.body)
        known.set(value.pair, value.body)
      }
      if (PAIR_NAME.test(value.pair)) outcomes.push({ pair: value.pair, id: value.id, refusal })
    }
    return { pairs, outcomes }
  }
}

/** Why settings aren't taken; null where they are. Accounts stay: what was read past can't be read again. @param before in force */
export function refusalOfSettings(
  { pair, body, actor }: Pick<CommandValue, 'pair' | 'body' | 'actor'>,
  before: string | undefined,
  parseSettings: PairRunnerOptions['parseSettings'],
): string | null {
  if (!PAIR_NAME.test(pair)) return 'pair_name_invalid'
  if (actor === '') return 'actor_missing'
  try {
    const { accounts } = parseSettings(body)
    if (accounts.size === 0) return 'accounts_missing'
    if (before === undefined) return null
    const accountsText = (settings: ReadonlyMap<string, string>) => JSON.stringify([...settings].sort())
    return accountsText(accounts) === accountsText(parseSettings(before).accounts) ? null : 'accounts_changed'
  } catch (error) {
    if (error instanceof ConfigurationError) return 'settings_invalid'
    throw error
  }
}

/** What a pair may be called. */
export const PAIR_NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/
