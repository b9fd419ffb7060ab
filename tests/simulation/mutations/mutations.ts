/**
 * Bugs to be planted, one for each thing that the engine does to keep its promises. Each is a replacement of text in a copy of the
 * source; text that isn't found exactly once is an error, so that a mutation can't rot unseen.
 */

export interface Mutation {
  readonly name: string
  /** What is no longer true with it. */
  readonly breaks: string
  readonly changes: readonly { readonly file: string; readonly find: string; readonly replace: string }[]
  /** A seed that finds it soon, with the bounds of the default run. */
  readonly seed: number
}

const one = (
  name: string,
  breaks: string,
  seed: number,
  file: string,
  find: string,
  replace: string,
): Mutation => ({ name, breaks, seed, changes: [{ file, find, replace }] })

const WRITE = 'platform/postgres/ledger-store/write.ts'
const SESSION = 'platform/postgres/ledger-store/session.ts'
const BATCH = 'processors/apply/batch.ts'
const PUBLISHER = 'processors/publish/publisher.ts'
const CACHE_WRITER = 'platform/redis/balance-cache-writer.ts'

export const MUTATIONS: readonly Mutation[] = [
  one(
    'fetched-by-name',
    'what is read is the log that was verified, whatever bears its name',
    21,
    'platform/kafka/assigned-partitions.ts',
    'this.#topicIds.set(key, topicId)',
    'this.#topicIds.set(key, null)',
  ),
  one(
    'topic-id-not-kept',
    'where no applied record tells which log is read, the id of the topic does',
    1,
    SESSION,
    'topic_id = coalesce(o.topic_id, u.i)',
    'topic_id = u.i',
  ),
  {
    name: 'compare-and-swap-dropped',
    breaks: 'offsets advance only from where they were, under the epoch they were taken with',
    seed: 94,
    changes: [
      {
        file: WRITE,
        find: 'and o.epoch = u.e and o.next_offset = u.f',
        replace: '',
      },
    ],
  },
  one(
    'compare-and-swap-does-not-raise',
    'a swap that matches no row ends the batch',
    94,
    WRITE,
    "select require_rows('ingest offsets', $10, (select count(*) from advanced))",
    'select count(*) from advanced',
  ),
  one(
    'greatest-instead-of-compare',
    'an offset is compared, not only kept from falling',
    94,
    WRITE,
    `set next_offset = u.n, last_offset = coalesce(u.lo, o.last_offset),
      last_hash = coalesce(u.lh, o.last_hash), last_timestamp_ms = coalesce(u.lt, o.last_timestamp_ms)
    from unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bytea[], $9::bigint[])
      as u (t, p, e, f, n, lo, lh, lt)
    where o.cluster_id = $1 and o.topic = u.t and o.partition = u.p and o.epoch = u.e and o.next_offset = u.f`,
    `set next_offset = greatest(o.next_offset, u.n), last_offset = coalesce(u.lo, o.last_offset),
      last_hash = coalesce(u.lh, o.last_hash), last_timestamp_ms = coalesce(u.lt, o.last_timestamp_ms)
    from unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bytea[], $9::bigint[])
      as u (t, p, e, f, n, lo, lh, lt)
    where o.cluster_id = $1 and o.topic = u.t and o.partition = u.p`,
  ),
  one(
    'epoch-not-compared',
    'an owner that was replaced can commit no more',
    94,
    WRITE,
    'and o.epoch = u.e and o.next_offset = u.f',
    'and o.next_offset = u.f',
  ),
  one(
    'epoch-not-raised',
    'taking a partition shuts its owner out',
    1,
    SESSION,
    'set epoch = epoch + 1,',
    'set epoch = epoch,',
  ),
  {
    name: 'head-neither-locked-nor-compared',
    breaks: 'one decision at a time',
    seed: 1,
    changes: [
      { file: SESSION, find: 'timeline from ledger_head for update', replace: 'timeline from ledger_head' },
      {
        file: SESSION,
        find: "select pg_advisory_xact_lock('ledger_head'::regclass::oid::bigint)",
        replace: 'select 1',
      },
      {
        file: WRITE,
        find: 'where sequence = $9 and hash = $10 and logic_version',
        replace: 'where logic_version',
      },
    ],
  },
  one(
    'positions-read-before-the-lock',
    'only after the head is locked anything is read',
    14,
    SESSION,
    `const [, , head, positions] = await Promise.all([
        this.query('begin', 'begin'),
        this.query('wait-for-turn', WAIT_FOR_TURN),
        this.query<HeadRow>('lock-head', LOCK_HEAD),
        this.query<PositionRow>('read-positions', READ_POSITIONS, [this.clusterId]),
      ])`,
    `const [, positions, , head] = await Promise.all([
        this.query('begin', 'begin'),
        this.query<PositionRow>('read-positions', READ_POSITIONS, [this.clusterId]),
        this.query('wait-for-turn', WAIT_FOR_TURN),
        this.query<HeadRow>('lock-head', LOCK_HEAD),
      ])`,
  ),
  one(
    'ids-not-checked',
    'an id is taken once',
    1,
    WRITE,
    "select require_rows('transaction ids', $6, (select count(*) from taken))",
    'select count(*) from taken',
  ),
  one(
    'cache-kept-after-another-head',
    'what was kept between batches is of this head',
    1,
    BATCH,
    'const isKnown = this.known?.head.hash.equals(head.hash) === true',
    'const isKnown = this.known !== null',
  ),
  {
    name: 'cached-rules-not-checked',
    breaks: 'the rules in force decide',
    seed: 6,
    changes: [
      {
        file: 'platform/postgres/ledger-store/load.ts',
        find: 'if (cache.rules !== null && cache.rulesVersion === head.rulesVersion) return cache.rules',
        replace: 'if (cache.rules !== null) return cache.rules',
      },
      {
        file: BATCH,
        find: 'const cache: LedgerCache = isKnown ? this.known!.cache : emptyCache()',
        replace: `const cache: LedgerCache = isKnown
        ? this.known!.cache
        : { ...emptyCache(), rules: this.known?.cache.rules ?? null }`,
      },
    ],
  },
  {
    name: 'batch-ahead-of-one-that-failed',
    breaks: 'a batch that was decided ahead falls with the one before it',
    seed: 1,
    changes: [
      // Offsets that are compared, and the key of batches, would hold most of these too.
      { file: WRITE, find: 'and o.epoch = u.e and o.next_offset = u.f', replace: 'and o.epoch = u.e' },
      {
        file: WRITE,
        find: 'from ledger_head where sequence = $1 and hash = $2 for update',
        replace: 'from ledger_head for update',
      },
      {
        file: WRITE,
        find: 'where sequence = $9 and hash = $10 and logic_version',
        replace: 'where logic_version',
      },
    ],
  },
  {
    name: 'lost-reply-not-looked-up',
    breaks: 'after a lost reply the offset rows decide',
    seed: 13,
    changes: [
      {
        file: 'processors/runtime/processor.ts',
        find: `    this.drop()
    await this.sessions.close()`,
        replace: `    if (error.code === 'postgres_unreachable') {
      await this.sessions.close()
      return
    }
    this.drop()
    await this.sessions.close()`,
      },
      { file: WRITE, find: 'and o.epoch = u.e and o.next_offset = u.f', replace: 'and o.epoch = u.e' },
    ],
  },
  {
    name: 'contiguity-not-checked',
    breaks: 'each fetch begins where the one before it ended',
    seed: 6,
    changes: [
      {
        file: 'platform/kafka/partition-inbox.ts',
        find: 'if (chunk.fetchedOffset !== this.#expected) {',
        replace: 'if (chunk.fetchedOffset < this.#expected) {',
      },
    ],
  },
  one(
    'last-record-not-skipped',
    'what is read once more to be verified is not applied once more',
    1,
    'processors/runtime/held-partitions.ts',
    'const skipped = again < 0 ? chunk.records.length : again',
    'const skipped = 0',
  ),
  one(
    'fence-skipped',
    'taking over shuts the old publisher out before the position is read',
    9,
    'platform/kafka/fenced-producer.ts',
    `      const transaction = await this.#producer.transaction()
      await transaction.abort()`,
    '',
  ),
  {
    name: 'position-not-read-again-after-the-fence',
    breaks: 'the position is read when nobody else can move it',
    seed: 9,
    changes: [
      {
        file: 'platform/kafka/fenced-producer.ts',
        find: `    this.#expect('fenced')
    return await this.#guarded('reading the position'`,
        replace: `    return await this.#guarded('reading the position'`,
      },
      {
        file: PUBLISHER,
        find: `      await producer.fence()
      // Before`,
        replace: '// Before',
      },
      {
        file: PUBLISHER,
        find: `      const seen = await options.lastPublished?.()
`,
        replace: `      const seen = await options.lastPublished?.()
      await producer.fence()
`,
      },
    ],
  },
  one(
    'producer-kept-after-an-error',
    'any error of publishing means taking over again',
    5,
    PUBLISHER,
    `  private async failed(error: unknown): Promise<void> {
    await this.resign()`,
    `  private async failed(error: unknown): Promise<void> {
    if (this.active !== null) this.active = { ...this.active, producer: this.options.makeProducer() }
    await this.active?.producer.fence().catch(() => undefined)`,
  ),
  {
    name: 'published-before-it-is-committed',
    breaks: 'what is published was committed',
    seed: 1,
    changes: [
      {
        file: PUBLISHER,
        find: `        offset: round.last.sequence,
      },`,
        replace: `        offset: round.last.sequence + 1n,
      },`,
      },
    ],
  },
  one(
    'position-outside-the-transaction',
    'outputs and position are committed together',
    1,
    'platform/kafka/fenced-producer.ts',
    `      await transaction.sendOffsets({`,
    `      await transaction.commit()
      const second = await this.#producer.transaction()
      const { commit } = transaction
      Object.assign(transaction, second, { once: commit })
      await second.sendOffsets({`,
  ),
  one(
    'tick-overtakes-a-backlog',
    'a tick applies when all before it was read',
    1,
    'domain/time/pending-ticks.ts',
    'if (first.open.size > 0) break',
    'if (first.open.size > 1) break',
  ),
  one(
    'tick-ends-before-its-time',
    'a tick names the ends as they were at its time or later',
    3,
    'processors/time/ticker.ts',
    `    const time = this.options.clock.wallMs()
    const ends = await this.options.readEnds()`,
    `    const ends = await this.options.readEnds()
    const time = this.options.clock.wallMs()`,
  ),
  {
    name: 'gap-in-the-cache-not-noticed',
    breaks: 'a cache that missed a batch is not believed again',
    seed: 127,
    changes: [
      {
        file: CACHE_WRITER,
        find: 'if (this.#gap !== undefined) return await this.#renew(this.#gap)',
        replace: 'this.#gap = undefined',
      },
      {
        file: 'platform/redis/cache-scripts.ts',
        find: "if compare(applied, ARGV[2]) < 0 then return {'gap', state} end",
        replace: '',
      },
    ],
  },
  one(
    'older-balance-replaces-a-newer-one',
    'the cache never goes back',
    1,
    'platform/redis/cache-scripts.ts',
    'elseif valueOlder(value, version(ARGV[i])) then',
    'else',
  ),
  one(
    'generation-kept-after-a-flush',
    'after a flush nothing late can plant an old balance',
    54,
    CACHE_WRITER,
    'const generation = newGeneration(this.#timeline)',
    'const generation = this.#generation || newGeneration(this.#timeline)',
  ),
  one(
    'cache-filled-without-a-lease',
    'a balance is planted only under a lease that was taken before it was read',
    3,
    'platform/redis/balance-cache-reader.ts',
    `    const token =
      state !== undefined && found.lookup === 'miss'
        ? await this.#guarded(() => this.#takeLease(state.generation, accountId))
        : undefined
    const [balance] = await this.#options.readBalances([accountId])`,
    `    const [balance] = await this.#options.readBalances([accountId])
    const token =
      state !== undefined && found.lookup === 'miss'
        ? await this.#guarded(() => this.#takeLease(state.generation, accountId))
        : undefined`,
  ),
  one(
    'labels-applied-twice',
    'a label that comes again changes nothing',
    16,
    'domain/ledger/labels.ts',
    'if (target.isFraud === isFraud) return\n',
    'target.isFraud = null\n',
  ),
  one(
    'model-not-scored',
    "a rulebook's model says what its trees say",
    8,
    'domain/fraud/rulebook/evaluate.ts',
    'this.#score = scoreOf(model, this.#input)',
    'this.#score = model.base',
  ),
  one(
    'parties-not-written',
    'what fraud rules know of a terminal is kept in the batch that used it',
    8,
    WRITE,
    '  writeParties(session, pending, state, effects)\n',
    '',
  ),
]
