/** Watches the balance cache and the answers made from it: never an older balance after a newer one, none that never was. */
import type { BalanceAt, CommitChecks } from './commits.ts'
import type { OutputChecks } from './outputs.ts'
import { must } from './violation.ts'

export interface ReadAnswer {
  readonly account: string
  readonly posted: bigint
  readonly reserved: bigint
  readonly timeline: bigint
  readonly sequence: bigint
  readonly cached: boolean
  readonly startedMs: number
  readonly endedMs: number
}

/** A cached answer may lack what was decided as long ago, where the publisher is stopped or Redis is cut off, ms. */
const STALENESS_MS = 2_000
/** A publisher that has lost its lease learns of it in so long at the latest, and its last command may take as long, ms. */
const RESIGNING_MS = 1_500

export class CacheChecks {
  answers = 0
  cachedAnswers = 0
  /** When Redis or the way to it last failed for somebody. */
  troubleMs = Number.NEGATIVE_INFINITY
  private timeline = 1n
  private readonly commits: CommitChecks
  private readonly outputs: OutputChecks
  private readonly seen = new Map<string, { sequence: bigint; endedMs: number }>()

  constructor(commits: CommitChecks, outputs: OutputChecks) {
    this.commits = commits
    this.outputs = outputs
  }

  restored(timeline: bigint): void {
    this.timeline = timeline
    this.seen.clear()
  }

  /** A balance key was set. Its name ends with generation and account. */
  written(key: string, before: string | null, after: string, state: string | null): void {
    const account = key.slice(key.indexOf(':', key.indexOf(':b:') + 3) + 1)
    const [timeline, sequence, posted, reserved] = after.split('|')
    if (before !== null) {
      const [oldTimeline, oldSequence] = before.split('|')
      const isNewer =
        BigInt(timeline!) > BigInt(oldTimeline!) ||
        (timeline === oldTimeline && BigInt(sequence!) > BigInt(oldSequence!))
      must(isNewer, 'the cache never goes back', () => `${key}: ${before} → ${after}`)
    }
    if (BigInt(timeline!) !== this.timeline) return
    this.checkTrue(account, BigInt(sequence!), BigInt(posted!), BigInt(reserved!), key)
    const [generation, applied] = (state ?? '').split('|')
    if (state === null || !key.includes(`:b:${generation}:`)) return
    const newest = this.newestUpTo(account, BigInt(applied!))
    must(
      newest === undefined || BigInt(sequence!) >= newest.sequence,
      'nothing older than what was applied is put into the cache',
      () => `${key}: ${after}, applied up to ${applied}, changed by ${newest?.sequence}`,
    )
  }

  private newestUpTo(account: string, sequence: bigint): BalanceAt | undefined {
    return this.commits.balances.get(account)?.findLast((each) => each.sequence <= sequence)
  }

  /** Somebody was told a balance. */
  answered(answer: ReadAnswer): void {
    this.answers += 1
    if (answer.cached) this.cachedAnswers += 1
    if (answer.timeline !== this.timeline) return
    const { account, sequence, startedMs, endedMs } = answer
    this.checkTrue(account, sequence, answer.posted, answer.reserved, 'an answer')
    const known = this.seen.get(account)
    const isQuiet = startedMs - STALENESS_MS - RESIGNING_MS > this.troubleMs
    if (known !== undefined && known.endedMs < startedMs && isQuiet) {
      must(
        sequence >= known.sequence,
        'no answer is older than an earlier one',
        () => `${account}: ${sequence} after ${known.sequence}, cached: ${answer.cached}`,
      )
    }
    if (answer.cached) this.checkFresh(account, sequence, startedMs)
    if (known === undefined || sequence > known.sequence) this.seen.set(account, { sequence, endedMs })
  }

  /** What the cache holds at the end. */
  checkHeld(account: string, value: string): void {
    const [timeline, sequence, posted, reserved] = value.split('|')
    if (BigInt(timeline!) !== this.timeline) return
    const newest = this.commits.balances.get(account)?.at(-1)
    const isSame =
      newest?.sequence === BigInt(sequence!) &&
      newest.posted === BigInt(posted!) &&
      newest.reserved === BigInt(reserved!)
    must(
      isSame,
      'the cache equals the ledger at the end',
      () => `${account}: ${value}, expected ${newest?.sequence}|${newest?.posted}|${newest?.reserved}`,
    )
  }

  private checkTrue(
    account: string,
    sequence: bigint,
    posted: bigint,
    reserved: bigint,
    where: string,
  ): void {
    const history = this.commits.balances.get(account) ?? []
    const at = history.findLast((each) => each.sequence === sequence)
    must(
      at?.posted === posted && at.reserved === reserved,
      'a balance is one that was',
      () => `${where}: ${account} ${posted}/${reserved} of batch ${sequence}`,
    )
  }

  private checkFresh(account: string, sequence: bigint, startedMs: number): void {
    const published = this.outputs.positionBefore(startedMs - STALENESS_MS - RESIGNING_MS)
    const newest = this.newestUpTo(account, published)
    must(
      newest === undefined || sequence >= newest.sequence,
      'a cached answer is not too old',
      () => `${account}: ${sequence}, batch ${newest?.sequence} was published before`,
    )
  }
}
