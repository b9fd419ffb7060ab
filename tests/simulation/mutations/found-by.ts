/**
 * By which check each planted bug must show. A simulation that fails for another reason has shown nothing about the bug: a plant
 * that throws at once would pass as found, and an invariant that nothing watches any more would go unseen.
 */
import type { Mutation } from './mutations.ts'

/** A check by its name, or one whose message must also say something: of checks that many things can break. */
type Expectation = string | { readonly check: string; readonly says: string }

const DECISIONS = "decisions are the model's"
const OLD_EPOCH = 'no commit under an old epoch'
const READING_GAP = 'records are read without a gap'
const SEQUENCE = 'sequences have no gap and no repetition'
const CHAIN = 'batches are chained'
const ONCE_IN_ORDER = 'every record is decided once, in order'
const OLDER_IN_CACHE = 'nothing older than what was applied is put into the cache'
const ANOTHER_PUBLISHED = 'published batches are those of the database'
/** A publisher that was not shut out has published behind the position that the next one read. */
const POSITION_LOST: Expectation = {
  check: 'incidents only where something is wrong for good',
  says: 'publisher_position_lost',
}

/** Time passed too early or too late: what expires by it shows. */
const TIME: readonly Expectation[] = [
  'time passes when all before it was read',
  { check: 'one decision for each record', says: 'tick"' },
  { check: 'one decision for each record', says: '"topic":"ticks"' },
]

export const FOUND_BY: Readonly<Record<string, readonly Expectation[]>> = {
  'fetched-by-name': ['nobody reads on where the log is another one'],
  'topic-id-not-kept': ['nobody reads on where the log is another one'],
  'compare-and-swap-dropped': [OLD_EPOCH, READING_GAP],
  'compare-and-swap-does-not-raise': ['every source moves its offset'],
  'greatest-instead-of-compare': [OLD_EPOCH, READING_GAP],
  'epoch-not-compared': [OLD_EPOCH],
  'epoch-not-raised': ['taking a partition raises its epoch'],
  'head-neither-locked-nor-compared': [SEQUENCE, CHAIN],
  'positions-read-before-the-lock': TIME,
  'ids-not-checked': [DECISIONS],
  'cache-kept-after-another-head': ['balances are the sum of their entries', DECISIONS],
  'cached-rules-not-checked': [DECISIONS, 'the rules in force are named'],
  'batch-ahead-of-one-that-failed': [CHAIN, SEQUENCE],
  'lost-reply-not-looked-up': [READING_GAP],
  'contiguity-not-checked': [ONCE_IN_ORDER],
  'last-record-not-skipped': ['offsets only go forward', ONCE_IN_ORDER],
  'fence-skipped': [POSITION_LOST, ANOTHER_PUBLISHED],
  'position-not-read-again-after-the-fence': [POSITION_LOST, ANOTHER_PUBLISHED],
  'producer-kept-after-an-error': [
    { check: 'no error but those of operation', says: 'batches come in sequence' },
  ],
  'published-before-it-is-committed': [
    'nothing is published before it is committed',
    // The position says more than what was told.
    'every batch is told of once',
  ],
  'position-outside-the-transaction': ['outputs and position are committed together'],
  'tick-overtakes-a-backlog': TIME,
  'tick-ends-before-its-time': ['a tick names all that was there at its time'],
  'gap-in-the-cache-not-noticed': ['a cached answer is not too old'],
  'older-balance-replaces-a-newer-one': ['the cache never goes back'],
  'generation-kept-after-a-flush': [OLDER_IN_CACHE, 'a cached answer is not too old'],
  'cache-filled-without-a-lease': [OLDER_IN_CACHE],
  'labels-applied-twice': ['every label counts once', 'only accounts that were touched change'],
  'model-not-scored': [DECISIONS],
  'parties-not-written': [DECISIONS],
}

/** What a simulation ended with. */
export interface Failure {
  readonly check: string
  readonly message: string
}

/** Whether a failure is the one that this bug must cause. @throws Error where it isn't said what must find the bug */
export const isFoundBy = ({ name }: Pick<Mutation, 'name'>, { check, message }: Failure): boolean => {
  const expected = FOUND_BY[name]
  if (expected === undefined) throw new Error(`mutation ${name}: found-by.ts does not say what finds it`)
  return expected.some((one) =>
    typeof one === 'string' ? one === check : one.check === check && message.includes(one.says),
  )
}
