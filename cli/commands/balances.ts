/** `balances`: what accounts hold, now or at a time. */
import type { Command } from 'commander'
import { presentedPosted, showAmount, shownBalance } from '#api/amounts.ts'
import { addCommand, exitCodes } from '#cli/command.ts'
import { openReader } from '#cli/ledger-client.ts'
import { momentOf, wholeOf } from '#cli/options.ts'
import { moreLine, table } from '#cli/table.ts'
import { ConfigurationError } from '#platform/errors.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'
import { balanceAsOf, type PastBalance } from '#platform/postgres/queries/balance-as-of.ts'
import { balanceAsOfValueTime } from '#platform/postgres/queries/balance-as-of-value-time.ts'
import { readAccountIds } from '#platform/postgres/queries/read-account-ids.ts'
import { readBalances } from '#platform/postgres/queries/read-balances.ts'
import type { AccountBalance } from '#platform/redis/balance-value.ts'

interface Options {
  all?: boolean
  limit: string
  after?: string
  asOf?: string
  effectiveAsOf?: string
}

interface ShownBalance {
  account_id: string
  currency: string
  balance: string
  /** Null where the account has no limit, and for past balances. */
  available: string | null
  /** Null for past balances. */
  reserved: string | null
  as_of: string
}

/** Most balances of one `--all`: all of them are one document. */
const ALL_MAX = 100_000
const READ_AT_ONCE = 500
/** Past balances are a query each. */
const PAST_AT_ONCE = 8

/** Registers `balances`. */
export function registerBalances(program: Command): void {
  addCommand<Options>(program, {
    usage: 'balances [ids...]',
    audited: true,
    summary: 'show balances, exact in major units, now or as of a recorded or an effective time',
    example: 'balances alice bob --as-of 2026-01-31T23:59:59Z',
    configure: (command) =>
      command
        .option('--all', 'every account, in order of their ids')
        .option('--limit <n>', `with --all: most accounts to show, up to ${ALL_MAX}`, String(ALL_MAX))
        .option('--after <id>', 'with --all: only accounts with ids above this one')
        .option('--as-of <time>', 'what the ledger said at that recorded time (ISO 8601 with a zone)')
        .option('--effective-as-of <time>', 'what is effective (value time) by then (ISO 8601 with a zone)'),
    run: async (context, options, ids) => {
      if (options.all === true ? ids.length > 0 : ids.length === 0) {
        throw new ConfigurationError('expected account ids or --all, got both or neither')
      }
      const { asOf, effectiveAsOf } = options
      const times = {
        recordedAt: asOf === undefined ? undefined : momentOf(asOf, '--as-of'),
        valueAt: effectiveAsOf === undefined ? undefined : momentOf(effectiveAsOf, '--effective-as-of'),
      }
      const limit = wholeOf(options.limit, '--limit', { min: 1, max: ALL_MAX })
      const { pool } = await openReader(context)
      const wanted = options.all === true ? await idsAfter(pool, options.after ?? '', limit + 1) : ids
      const asked = options.all === true ? wanted.slice(0, limit) : [...new Set(wanted)]
      const next = options.all === true && wanted.length > limit ? (asked.at(-1) ?? null) : null
      const balances = await readShown(pool, asked, times, context.signal)
      const known = new Set(balances.map((balance) => balance.account_id))
      const unknown = asked.filter((id) => !known.has(id))
      const effective = times.valueAt === undefined ? {} : { effective_as_of: times.valueAt.toISOString() }
      return {
        json: { ...effective, balances, unknown, next },
        text: textOf(balances, unknown) + moreLine(next),
        exitCode: unknown.length === 0 ? exitCodes.ok : exitCodes.difference,
      }
    },
  })
}

async function idsAfter(pool: ReadPool, afterAccountId: string, limit: number): Promise<string[]> {
  const ids: string[] = []
  for (let after = afterAccountId; ids.length < limit; after = ids.at(-1)!) {
    const size = Math.min(READ_AT_ONCE, limit - ids.length)
    const page = await readAccountIds(pool, after, size)
    ids.push(...page)
    if (page.length < size) break
  }
  return ids
}

interface Times {
  recordedAt: Date | undefined
  valueAt: Date | undefined
}

/** Balances of those that exist, in the order asked for. */
async function readShown(
  pool: ReadPool,
  ids: readonly string[],
  times: Times,
  signal: AbortSignal,
): Promise<ShownBalance[]> {
  const isPast = times.recordedAt !== undefined || times.valueAt !== undefined
  const step = isPast ? PAST_AT_ONCE : READ_AT_ONCE
  const shown: ShownBalance[] = []
  for (let at = 0; at < ids.length; at += step) {
    signal.throwIfAborted()
    const some = ids.slice(at, at + step)
    if (isPast) shown.push(...(await pastBalances(pool, some, times)))
    else {
      const found = new Map((await readBalances(pool, some)).map((balance) => [balance.accountId, balance]))
      shown.push(...some.flatMap((id) => found.get(id) ?? []).map(showBalance))
    }
  }
  return shown
}

function showBalance(balance: AccountBalance): ShownBalance {
  const { currency } = balance
  const { balanceMinor, availableMinor, reservedMinor } = shownBalance(balance)
  return {
    account_id: balance.accountId,
    currency,
    balance: showAmount(balanceMinor, currency),
    available: availableMinor === null ? null : showAmount(availableMinor, currency),
    reserved: showAmount(reservedMinor, currency),
    as_of: new Date(balance.recordedAtMs).toISOString(),
  }
}

async function pastBalances(pool: ReadPool, ids: readonly string[], times: Times): Promise<ShownBalance[]> {
  const { recordedAt, valueAt } = times
  const found = await Promise.all(
    ids.map((id) =>
      valueAt === undefined
        ? balanceAsOf(pool, id, recordedAt ?? new Date())
        : balanceAsOfValueTime(pool, id, { valueAt, recordedAt }),
    ),
  )
  const show = ({ accountId, currency, posted, normalSide, asOf }: PastBalance): ShownBalance => ({
    account_id: accountId,
    currency,
    balance: showAmount(presentedPosted(posted, normalSide), currency),
    available: null,
    reserved: null,
    as_of: asOf.toISOString(),
  })
  return found.flatMap((balance) => (balance === undefined ? [] : [show(balance)]))
}

function textOf(balances: readonly ShownBalance[], unknown: readonly string[]): string {
  const rows = balances.map((each) => [
    each.account_id,
    each.currency,
    each.balance,
    // Of a past balance neither is known; without a limit there is no end to what is available.
    each.available ?? (each.reserved === null ? '' : 'no limit'),
    each.reserved ?? '',
  ])
  const heading = ['account', 'currency', 'balance', 'available', 'reserved']
  const found = rows.length === 0 ? [] : [table([heading, ...rows], [2, 3, 4])]
  const missing = unknown.length === 0 ? [] : [`no such account: ${unknown.join(', ')}`]
  const lines = [...found, ...missing]
  return lines.length === 0 ? 'no accounts' : lines.join('\n')
}
