/** In which order a batch decided the records of its partitions, as its header says. */

/** The part of a batch's header that says which records were decided, and in which order. */
export interface BatchOrder {
  readonly sequence: bigint
  readonly sources: readonly { topic: string; partition: number; from: string; next: string }[]
  /** Runs of inputs: place in `sources`, how many. */
  readonly order: readonly (readonly [number, number])[]
  /** Inputs that are stretches without a record: place in `sources`, last offset. */
  readonly skips: readonly (readonly [number, string])[]
}

export interface DecidedPlace {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
}

/**
 * The records of a batch in the order in which they were decided.
 * @param has whether a record is there; topics of which it knows none are left out
 */
export const decidedPlaces = (
  { sources, order, skips }: BatchOrder,
  has: (topic: string, partition: number, offset: bigint) => boolean,
): DecidedPlace[] => {
  const cursors = sources.map(({ from }) => BigInt(from))
  const skipped = sources.map((_source, place) => {
    const own = skips.filter(([of]) => of === place)
    return new Set(own.map(([, offset]) => BigInt(offset)))
  })
  const places: DecidedPlace[] = []
  for (const [place, count] of order) {
    const source = sources[place]
    if (source === undefined) continue
    const { topic, partition } = source
    const end = BigInt(source.next)
    let offset = cursors[place]!
    for (let left = count; left > 0 && offset < end; offset += 1n) {
      const isRecord = has(topic, partition, offset)
      if (isRecord) places.push({ topic, partition, offset })
      if (isRecord || skipped[place]!.has(offset)) left -= 1
    }
    cursors[place] = offset
  }
  return places
}
