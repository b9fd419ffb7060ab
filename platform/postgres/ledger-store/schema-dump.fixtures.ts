/** A schema as text, read from the catalog: what migrations made of it, in an order that only changes with the schema. */

interface Queries {
  rows<Row>(text: string, values?: unknown[]): Promise<Row[]>
}

const COLUMNS = `select c.relname as relation, a.attname as name, format_type(a.atttypid, a.atttypmod) as type,
    a.attnotnull as required, pg_get_expr(d.adbin, d.adrelid) as default, a.attstorage as storage
  from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
  where c.relnamespace = $1::regnamespace and c.relkind in ('r', 'p', 'v')
  order by c.relname, a.attnum`

const RELATIONS = `select relname as relation, relkind as kind, coalesce(array_to_string(reloptions, ', '), '') as options,
    coalesce(pg_get_expr(relpartbound, oid), '') as bounds,
    case relkind when 'p' then pg_get_partkeydef(oid) when 'v' then pg_get_viewdef(oid, true) else '' end as definition
  from pg_class where relnamespace = $1::regnamespace and relkind in ('r', 'p', 'v') order by relname`

const CONSTRAINTS = `select c.relname as relation, conname as name, pg_get_constraintdef(k.oid) as definition
  from pg_constraint k join pg_class c on c.oid = k.conrelid
  where c.relnamespace = $1::regnamespace and contype <> 'n' order by 1, 2`

const INDEXES = `select tablename as relation, indexdef as definition from pg_indexes where schemaname = $1 order by 1, indexname`

const FUNCTIONS = `select pg_get_functiondef(oid) as definition from pg_proc where pronamespace = $1::regnamespace order by proname`

interface Relation {
  relation: string
  kind: string
  options: string
  bounds: string
  definition: string
}
interface Column {
  relation: string
  name: string
  type: string
  required: boolean
  default: string | null
  storage: string
}
interface Definition {
  relation: string
  name?: string
  definition: string
}

const KINDS: Readonly<Record<string, string>> = { r: 'table', p: 'partitioned table', v: 'view' }

/** The whole schema: tables, columns, constraints, indexes, storage parameters, views and functions. */
export const dumpSchema = async (ledger: Queries, schema: string): Promise<string> => {
  const relations = await ledger.rows<Relation>(RELATIONS, [schema])
  const columns = await ledger.rows<Column>(COLUMNS, [schema])
  const constraints = await ledger.rows<Definition>(CONSTRAINTS, [schema])
  const indexes = await ledger.rows<Definition>(INDEXES, [schema])
  const functions = await ledger.rows<Definition>(FUNCTIONS, [schema])
  const lines: string[] = []
  for (const { relation, kind, options, bounds, definition } of relations) {
    lines.push(`${KINDS[kind]} ${relation}${options === '' ? '' : ` with (${options})`}`)
    // The bounds of a month are its name; as text they would depend on the session's time zone.
    if (bounds !== '') lines.push(bounds === 'DEFAULT' ? '  default partition' : '  partition of one month')
    if (definition !== '') lines.push(`  ${definition.replaceAll('\n', '\n  ')}`)
    for (const column of columns.filter((each) => each.relation === relation)) {
      const rest = `${column.required ? ' not null' : ''}${column.default === null ? '' : ` default ${column.default}`}`
      const storage = column.type === 'bytea' ? ` storage ${column.storage}` : ''
      lines.push(`  ${column.name} ${column.type}${rest}${storage}`)
    }
    for (const each of constraints.filter((constraint) => constraint.relation === relation)) {
      lines.push(`  constraint ${each.name} ${each.definition}`)
    }
    for (const each of indexes.filter((index) => index.relation === relation))
      lines.push(`  ${each.definition}`)
    lines.push('')
  }
  for (const { definition } of functions) lines.push(definition.trimEnd(), '')
  return lines.join('\n').replaceAll(`${schema}.`, '')
}
