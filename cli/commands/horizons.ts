/** `periods horizons`: how far back reversals and ids reach; a setting in the ledger's own history. */
import type { Command } from 'commander'
import { addCommand, type CommandResult, exitCodes } from '#cli/command.ts'
import { openReader, openWriter } from '#cli/ledger-client.ts'
import { actorOf, type WriteOptions, waitMsOf, wholeOf, withWriteOptions } from '#cli/options.ts'
import { listRules, type StoredRule } from '#platform/postgres/queries/list-rules.ts'
import { details } from '#cli/table.ts'
import { HORIZON_MAX_MS, HORIZON_MIN_MS, type HORIZON_RULES } from '#domain/transactions/limits.ts'
import type { ReadPool } from '#platform/postgres/pool.ts'

interface Options extends WriteOptions {
  historyDays?: string
  idDays?: string
}

type HorizonName = (typeof HORIZON_RULES)[number]

const DAY_MS = 86_400_000

/** Registers the command. */
export function registerHorizons(periods: Command): void {
  addCommand<Options>(periods, {
    usage: 'horizons',
    audited: ({ historyDays, idDays }) => historyDays !== undefined || idDays !== undefined,
    summary: 'show or set how far back reversals and ids reach; what is given up does not come back',
    example: 'periods horizons --history-days 730 --id-days 1095',
    configure: (command) =>
      withWriteOptions(command)
        .option('--history-days <n>', 'reversals of what is older are parent_too_old; 0 = no horizon')
        .option('--id-days <n>', 'what claims to be older is too_old, and its id is free; 0 = no horizon'),
    run: async (context, options): Promise<CommandResult> => {
      const changes = changesOf(options)
      if (changes.length === 0) return shown((await openReader(context)).pool)
      const [actor, waitMs] = [actorOf(options), waitMsOf(options)]
      const ledger = await openWriter(context)
      const { history_days: historyDays } = await readDays(ledger.pool)
      for (const { name, days } of inOrder(changes, historyDays)) {
        const record = {
          ruleId: name,
          type: name,
          currency: null,
          threshold: 0n,
          windowMs: days * DAY_MS,
          action: 'reject',
          enabled: days > 0,
          actor,
        }
        const { outcome } = await ledger.submit('rules', name, record, waitMs)
        if (outcome?.refusal != null) {
          const { reason } = outcome.refusal
          const text = `refused: ${reason}; ids must outlive what may be reversed, and that must be set first`
          return { json: { horizon: name, result: 'refused', reason }, text, exitCode: exitCodes.difference }
        }
      }
      return shown(ledger.pool)
    },
  })
}

interface Change {
  readonly name: HorizonName
  /** 0 = none. */
  readonly days: number
}

/** Between two records, too, ids must not reach less far back than reversals: which may come first depends on what is set. */
function inOrder(changes: readonly Change[], historyDays: number | null): readonly Change[] {
  const ids = changes.find(({ name }) => name === 'id_horizon')
  const idsFirst = ids !== undefined && (ids.days === 0 || (historyDays !== null && historyDays <= ids.days))
  return idsFirst ? [...changes].reverse() : changes
}

/** @throws ConfigurationError */
function changesOf({ historyDays, idDays }: Options): Change[] {
  const daysOf = (text: string, option: string, name: HorizonName): number => {
    if (text === '0') return 0
    const max = HORIZON_MAX_MS / DAY_MS
    return wholeOf(text, option, { min: HORIZON_MIN_MS[name] / DAY_MS, max })
  }
  const changes: Change[] = []
  if (historyDays !== undefined) {
    changes.push({
      name: 'history_horizon',
      days: daysOf(historyDays, '--history-days', 'history_horizon'),
    })
  }
  if (idDays !== undefined) {
    changes.push({ name: 'id_horizon', days: daysOf(idDays, '--id-days', 'id_horizon') })
  }
  return changes
}

async function readDays(pool: ReadPool): Promise<{ history_days: number | null; id_days: number | null }> {
  const rules = await listRules(pool)
  const daysOf = (name: HorizonName): number | null => {
    const rule: StoredRule | undefined = rules.find((each) => each.ruleId === name)
    return rule?.enabled === true ? rule.windowMs / DAY_MS : null
  }
  return { history_days: daysOf('history_horizon'), id_days: daysOf('id_horizon') }
}

async function shown(pool: ReadPool): Promise<CommandResult> {
  const json = await readDays(pool)
  const text = (days: number | null) => (days === null ? 'no horizon' : `${days} days`)
  return {
    json,
    text: details([
      ['reversals reach back', text(json.history_days)],
      ['ids are known for', text(json.id_days)],
    ]),
  }
}
