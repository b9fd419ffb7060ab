/** Where publishing goes on, from the two things that Kafka says and the one that Postgres does. */
import { describe, expect, test } from 'vitest'
import { resumeAfter } from './position.ts'

const head = (sequence: bigint, publishedSequence: bigint) => ({ sequence, publishedSequence })

describe('goes on', () => {
  test.each<[string, bigint | undefined, bigint | undefined, bigint]>([
    ['at the beginning where nothing was ever published', undefined, undefined, 0n],
    ['behind the committed position', 90n, undefined, 90n],
    ['behind the outputs where the position is forgotten', undefined, 93n, 93n],
    ['behind what both say', 90n, 90n, 90n],
    ['behind the lesser where a transaction was torn', 95n, 90n, 90n],
    ['behind the lesser where a transaction was torn the other way', 90n, 95n, 90n],
    ['behind the outputs where the position is of something else', 5n, 97n, 97n],
    ['behind the outputs where the position is of something else, and too large', 70_000n, 97n, 97n],
  ])('%s', (_label, committed, seen, expected) => {
    const published = expected > 90n ? 90n : expected
    expect(resumeAfter(committed, seen, head(100n, published))).toBe(expected)
  })
})

describe('stops', () => {
  test.each<[string, bigint | undefined, bigint | undefined, string]>([
    ['neither a position nor outputs', undefined, undefined, 'publisher_position_lost'],
    ['less than was published', 79n, 79n, 'publisher_position_lost'],
    ['outputs that end too early, and no position', undefined, 79n, 'publisher_position_lost'],
    ['more than the database', 101n, 101n, 'database_behind_published'],
    ['outputs beyond the database, and no position', undefined, 101n, 'database_behind_published'],
  ])('where Kafka has %s', (_label, committed, seen, code) => {
    expect(() => resumeAfter(committed, seen, head(100n, 80n))).toThrow(expect.objectContaining({ code }))
  })
})
