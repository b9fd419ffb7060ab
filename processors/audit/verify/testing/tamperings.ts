/** Single columns changed by hand, and what verifying must find then; those that have nothing to do with each other in rounds. */

/** One change by hand, and what must be found in the tables that it is about. */
interface Tampering {
  readonly name: string
  readonly change: string
  readonly tables: readonly string[]
  readonly kinds: readonly string[]
  /** Whether those are all. */
  readonly alone: boolean
}

export const UNLOCKED =
  'alter table audit_log disable trigger user; alter table audit_log_head disable trigger user'
export const FIRST_PERIOD = '(select min(period) from periods)'
export const LAST_BATCH = '(select max(sequence) from batches)'

/** @param columns column, its new value, and the kind where it isn't `changed` */
const columnsOf = (
  table: string,
  where: string,
  columns: readonly (readonly [column: string, value: string, kind?: string])[],
  { tables = [table], alone = true }: Partial<Pick<Tampering, 'tables' | 'alone'>> = {},
): Tampering[] =>
  columns.map(([column, value, kind = 'changed']) => ({
    name: `${table}.${column}`,
    change: `update ${table} set ${column} = ${value} ${where}`,
    tables,
    kinds: [`${table} ${kind}`],
    alone,
  }))

const HEAD = columnsOf('ledger_head', '', [
  ['tick_ms', 'tick_ms + 1'],
  ['pending_ticks', `'[{"time": 1, "open": {}}]'`],
  ['expiring', 'not expiring'],
  ['logic_version', 'logic_version + 1'],
  ['rules_version', 'rules_version + 1'],
  ['accounts_count', 'accounts_count + 1'],
  ['cards_count', 'cards_count + 1'],
])

export const PERIODS = columnsOf(
  'periods',
  `where period = ${FIRST_PERIOD}`,
  [
    ['format', 'format + 1'],
    ['first_sequence', 'first_sequence + 1'],
    ['last_sequence', 'last_sequence + 1'],
    ['chain_sequence', 'chain_sequence + 1'],
    ['chain_hash', `sha256('x')`],
    ['postings', 'postings + 1'],
    ['accounts', 'accounts + 1'],
    ['cards', 'cards + 1'],
    ['totals', `'[]'`],
    ['previous_hash', `sha256('x')`],
    ['hash', `sha256('x')`],
  ],
  { alone: false },
)

/** How far something has come, as far as what is decided says it. */
const REACHED = [
  ...columnsOf('id_sweep', '', [
    ['taken_before', `'2020-01-01'`],
    ['swept_before', `'2020-01-01'`],
  ]),
  ...columnsOf('kafka_clusters', '', [['cluster_id', `'mine'`, 'removed']]),
]

/** How far something has come, as topics and archive say it: it is looked at whatever became of the batches. */
const PUBLISHED = [
  ...columnsOf('publisher_progress', '', [['published_sequence', 'published_sequence + 1']]),
  ...columnsOf('archive_progress', '', [
    ['archived_through', 'archived_through - 1'],
    ['manifest', 'manifest + 1'],
    ['manifest_hash', `sha256('x')`],
  ]),
]

export const AUDIT_LOG = columnsOf(
  'audit_log',
  'where seq = 2',
  [
    ['seq', 'seq + 100', 'removed'],
    ['at', `at || 'x'`],
    ['actor', `'somebody'`],
    ['action', `'nothing'`],
    ['subject', `'x'`],
    ['details', `'{"a":1}'`],
    ['previous_hash', `sha256('x')`, 'chain'],
    ['hash', `sha256('x')`],
  ],
  { tables: ['audit_log', 'audit_log_head'], alone: false },
)

/** The last one: without it the tables can't be derived, and nothing else of what is decided is accused. */
export const BATCHES = columnsOf(
  'batches',
  `where sequence = ${LAST_BATCH}`,
  [
    ['hash', `sha256('x')`],
    ['previous_hash', `sha256('x')`, 'chain'],
    ['records', 'records + 1'],
    ['recorded_at', `recorded_at + interval '1 microsecond'`],
    ['format', 'format + 1'],
    ['header', `header || ' '`],
    ['payload', `payload || '\\x00'`],
  ],
  { tables: ['batches', 'ledger_head'], alone: false },
)

/** One of each list at a time. */
const roundsOf = (...lists: (readonly Tampering[])[]): { name: string; round: Tampering[] }[] =>
  Array.from({ length: Math.max(...lists.map(({ length }) => length)) }, (_, place) => {
    const round = lists.flatMap((list) => list.slice(place, place + 1))
    return { name: round.map(({ name }) => name).join(', '), round }
  })

export const ROUNDS = [...roundsOf(HEAD, PERIODS, REACHED), ...roundsOf(AUDIT_LOG, BATCHES, PUBLISHED)]
