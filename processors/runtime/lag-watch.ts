/** How far the ledger is behind the ends of the partitions that this processor has, looked up as often as it is shown. */
import type { PartitionRange } from '#platform/kafka/offset-ranges.ts'

/** Where a partition stands in the ledger; topic without the ledger's prefix. */
export interface Standing {
  readonly topic: string
  readonly partition: number
  /** The offset that is applied next. */
  readonly position: bigint
}

/** Each partition once, with its position of `positions` (by 'topic:partition'). */
export const standingOf = (
  places: readonly { readonly topic: string; readonly partition: number }[],
  positions: ReadonlyMap<string, bigint>,
): Standing[] => {
  const names = new Map(places.map((place) => [`${place.topic}:${place.partition}`, place]))
  return [...names].flatMap(([name, { topic, partition }]) => {
    const position = positions.get(name)
    return position === undefined ? [] : [{ topic, partition, position }]
  })
}

export interface Lag {
  readonly topic: string
  readonly partition: number
  /** Records, and ends of transactions, between what is applied and the end. */
  readonly lag: bigint
}

export interface LagWatchOptions {
  /** The partitions that are read, and those that an incident has stopped. */
  standing(): Standing[]
  /** First and next offsets of a topic. */
  ranges(topic: string): Promise<PartitionRange[]>
  show(lags: readonly Lag[]): void
  onFailure(error: unknown): void
}

/**
 * Makes the look that is to be repeated: it asks the brokers, since what the last fetch said of the end is old where reading pauses,
 * which is where there is a lag. While one is under way another does nothing; after a failure what was shown stays.
 */
export const makeLagWatch = ({
  standing,
  ranges,
  show,
  onFailure,
}: LagWatchOptions): (() => Promise<void>) => {
  let isLooking = false
  return async () => {
    if (isLooking) return
    isLooking = true
    try {
      const before = standing()
      const topics = [...new Set(before.map(({ topic }) => topic))]
      const found = await Promise.all(topics.map(async (topic) => [topic, await ranges(topic)] as const))
      const ends = new Map(
        found.flatMap(([topic, list]) => list.map(({ partition, end }) => [`${topic}:${partition}`, end])),
      )
      show(before.flatMap((each) => lagOf(each, ends.get(`${each.topic}:${each.partition}`))))
    } catch (error) {
      onFailure(error)
    } finally {
      isLooking = false
    }
  }
}

/** None where the partition isn't there; a position beyond the end (a log that was made anew) is no lag. */
const lagOf = ({ topic, partition, position }: Standing, end: bigint | undefined): Lag[] => {
  if (end === undefined) return []
  return [{ topic, partition, lag: end > position ? end - position : 0n }]
}
