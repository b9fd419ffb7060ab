/** The statements that only read, those of the publisher, and leases. */
import { elementsOf, uuidText } from './arrays.ts'
import type { Statement, StatementContext } from './server.ts'
import { partyRowKey, put, sequenceKey } from './tables.ts'

const lockHead: Statement = {
  locks: ({ text }) => (/for update/.test(text) ? ['head'] : []),
  run: ({ tables }) => {
    const head = tables.head.get('head')
    if (head === undefined) return []
    return [
      {
        sequence: String(head.sequence),
        hash: head.hash,
        tick_ms: String(head.tickMs),
        pending_ticks: JSON.parse(head.pendingTicks),
        expiring: head.expiring,
        logic_version: head.logicVersion,
        rules_version: String(head.rulesVersion),
        accounts_count: String(head.accountsCount),
        cards_count: String(head.cardsCount),
        timeline: String(head.timeline),
      },
    ]
  },
}

/** An advisory lock: granted in the order of asking. */
const waitForTurn: Statement = {
  locks: ({ text }) => (text.includes('pg_advisory_xact_lock') ? ['turn'] : []),
  run: () => [{ pg_advisory_xact_lock: '' }],
}

const readPositions: Statement = {
  run: ({ tables, values }) =>
    [...tables.offsets.values()]
      .filter((row) => row.cluster === values[0])
      .map((row) => ({
        topic: row.topic,
        partition: row.partition,
        next_offset: String(row.nextOffset),
        jumped_from: row.jumpedFrom === null ? null : String(row.jumpedFrom),
        jumped_to: row.jumpedTo === null ? null : String(row.jumpedTo),
      })),
}

const readAccounts: Statement = {
  run: ({ tables, values }) =>
    elementsOf<string>(values[0]).flatMap((id) => {
      const row = tables.accounts.get(id)
      if (row === undefined) return []
      return [
        {
          account_no: String(row.no),
          account_id: row.id,
          currency: row.currency,
          account_class: row.accountClass,
          normal_side: row.normalSide,
          status: row.status,
          limited: row.limited,
          overdraft_limit: String(row.overdraftLimit),
          reversal_may_overdraw: row.reversalMayOverdraw,
          posted: String(row.posted),
          reserved: String(row.reserved),
          version: String(row.version),
          opened_sequence: String(row.openedSequence),
          profile: row.profile,
        },
      ]
    }),
}

const readParties: Statement = {
  run: ({ tables, values }) => {
    const names = elementsOf<string>(values[1])
    return elementsOf<number>(values[0]).flatMap((kind, place) => {
      const row = tables.parties.get(partyRowKey(kind, names[place]!))
      if (row === undefined) return []
      const { name, state } = row
      return [{ kind, name, used_day: row.usedDay, version: String(row.version), state }]
    })
  },
}

const readClaimed: Statement = {
  run: ({ tables, values }) =>
    elementsOf<string>(values[0]).flatMap((key) => {
      const row = tables.ids.get(key)
      if (row === undefined) return []
      const taken_ms = String(row.recordedAtMs)
      return [{ key: uuidText(key), content: uuidText(row.content), taken_ms }]
    }),
}

const readLabelTargets: Statement = {
  run: ({ tables, values }) =>
    elementsOf<string>(values[0]).flatMap((key) => {
      const taken = tables.ids.get(key)
      if (taken === undefined) return []
      const row = tables.transactions.get(`${taken.sequence}.${taken.index}`)
      const isPaid = row !== undefined && row.payerNo !== null
      return [
        {
          key: uuidText(key),
          taken_ms: String(taken.recordedAtMs),
          payer: isPaid ? tables.accountIdByNo.get(String(row.payerNo)) : null,
          payer_no: isPaid ? String(row.payerNo) : null,
          acceptor: row?.acceptor ?? null,
          at_ms: row === undefined ? null : String(row.occurredAtMs),
          was_unusual: row?.wasUnusual ?? null,
          is_fraud: tables.labels.get(key) ?? null,
        },
      ]
    }),
}

const holdRow = (context: StatementContext, key: string): object[] => {
  const row = context.tables.holds.get(key)
  if (row === undefined) return []
  return [
    {
      key: uuidText(key),
      kind: row.kind,
      status: row.status,
      id: row.id,
      source: row.source,
      sequence: String(row.sequence),
      index: row.index,
      expires_at_ms: String(row.expiresAtMs),
      postings: JSON.parse(row.postings),
      command: JSON.parse(row.command),
      version: String(row.version),
      version_index: row.versionIndex,
      priority: row.priority,
      reviewers: row.reviewers,
      released_by: row.releasedBy,
    },
  ]
}

const readHolds: Statement = {
  run: (context) => elementsOf<string>(context.values[0]).flatMap((key) => holdRow(context, key)),
}

const readDueHolds: Statement = {
  run: (context) => {
    const untilMs = BigInt(context.values[0] as number)
    return [...context.tables.activeHolds]
      .filter(([, expiresAtMs]) => expiresAtMs <= untilMs)
      .sort((a, b) => Number(a[1] - b[1]) || (a[0] < b[0] ? -1 : 1))
      .slice(0, Number(context.values[1]))
      .flatMap(([key]) => holdRow(context, key))
  },
}

/** A released held transaction was posted where its review was decided, not where its id was taken. */
const readParents: Statement = {
  run: ({ tables, values }) =>
    elementsOf<string>(values[0])
      .sort()
      .flatMap((key) => {
        const taken = tables.ids.get(key)
        if (taken === undefined) return []
        const hold = tables.holds.get(key)
        const at =
          hold?.status === 'released'
            ? `${hold.version}.${hold.versionIndex}`
            : `${taken.sequence}.${taken.index}`
        const transaction = tables.transactions.get(at)
        const taken_ms = String(taken.recordedAtMs)
        const rows: object[] = []
        const none = {
          key: uuidText(key),
          taken_ms,
          kind: transaction?.kind ?? null,
          card: null,
          posting: null,
          debit: null,
          credit: null,
          amount: null,
          currency: null,
          reversed: null,
        }
        for (let place = 0; ; place += 1) {
          const row = tables.postings.get(`${at}.${place}`)
          if (row === undefined) return rows.length === 0 ? [none] : rows
          const reversed = tables.reversals.get(`${key}.${place}`)
          rows.push({
            key: uuidText(key),
            taken_ms,
            kind: transaction!.kind,
            card: null,
            posting: place,
            debit: tables.accountIdByNo.get(String(row.debitNo)),
            credit: tables.accountIdByNo.get(String(row.creditNo)),
            amount: String(row.amount),
            currency: row.currency,
            reversed: reversed === undefined ? null : String(reversed),
          })
        }
      }),
}

const readRules: Statement = {
  run: ({ tables }) => {
    const newest = new Map<string, { version: bigint; index: number; body: string }>()
    for (const [key, row] of tables.rules) {
      const id = key.slice(0, key.lastIndexOf('.', key.lastIndexOf('.') - 1))
      const known = newest.get(id)
      if (
        known === undefined ||
        row.version > known.version ||
        (row.version === known.version && row.index > known.index)
      )
        newest.set(id, row)
    }
    const rows = [...newest].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row)
    return rows.map(({ version, body }) => ({
      version: String(version),
      body: JSON.parse(body),
    }))
  },
}

const readBatches: Statement = {
  run: ({ tables, values }) => {
    const rows: object[] = []
    let bytes = 0
    for (let sequence = BigInt(values[0] as string) + 1n; ; sequence += 1n) {
      const row = tables.batches.get(sequenceKey(sequence))
      if (row === undefined || rows.length === Number(values[1]) || bytes >= Number(values[2])) return rows
      bytes += row.payload.length
      rows.push({
        sequence: row.sequence,
        previous_hash: row.previousHash,
        hash: row.hash,
        format: row.format,
        recorded_ms: BigInt(row.recordedAtMs),
        records: row.records,
        header: row.header,
        payload: row.payload,
      })
    }
  },
}

const readHead: Statement = {
  run: ({ tables }) => {
    const head = tables.head.get('head')!
    return [
      {
        sequence: head.sequence,
        timeline: head.timeline,
        tick_ms: head.tickMs,
        published: tables.progress.get('published') ?? 0n,
        // Of the clusters before this one: there was none.
        before: null,
      },
    ]
  },
}

const notePublished: Statement = {
  locks: () => ['progress'],
  run: ({ tables, values, text, write }) => {
    const sequence = BigInt(values[0] as string)
    const isHigher = (tables.progress.get('published') ?? 0n) < sequence
    if (isHigher || !/published_sequence < \$1/.test(text)) write(put('progress', 'published', sequence))
    return []
  },
}

const takeLease: Statement = {
  locks: ({ values }) => [`lease ${String(values[0])}`],
  run: ({ tables, values, nowMs, write }) => {
    const [name, holder, lifetimeMs] = values as [string, string, number]
    const known = tables.leases.get(name)
    if (known !== undefined && known.holder !== holder && known.expiresAtMs >= nowMs) return []
    write(put('leases', name, { holder, expiresAtMs: nowMs + lifetimeMs }))
    return [{ '?column?': 1 }]
  },
}

const releaseLease: Statement = {
  locks: ({ values }) => [`lease ${String(values[0])}`],
  run: ({ tables, values, write }) => {
    if (tables.leases.get(values[0] as string)?.holder === values[1]) {
      write(put('leases', values[0] as string, undefined))
    }
    return []
  },
}

/** Balances with what the cache needs to order them: the API's own query (platform/postgres/queries/read-balances.ts). */
const readBalances: Statement = {
  run: ({ tables, values }) => {
    const head = tables.head.get('head')!
    return elementsOf<string>(values[0]).flatMap((id) => {
      const row = tables.accounts.get(id)
      if (row === undefined) return []
      return [
        {
          account_id: id,
          currency: row.currency,
          normal_side: row.normalSide,
          posted: row.posted,
          reserved: row.reserved,
          limited: row.limited,
          overdraft_limit: row.overdraftLimit,
          version: row.version,
          timeline: head.timeline,
          tick_ms: head.tickMs,
        },
      ]
    })
  },
}

const nothing: Statement = { run: () => [] }

const setConfig: Statement = { run: ({ values }) => [{ set_config: values[0] }] }

export const readStatements: Readonly<Record<string, Statement>> = {
  'lock-head': lockHead,
  'read-positions': readPositions,
  'read-accounts': readAccounts,
  'read-parties': readParties,
  'read-claimed': readClaimed,
  'read-label-targets': readLabelTargets,
  'read-holds': readHolds,
  'read-due-holds': readDueHolds,
  'read-parents': readParents,
  'read-rules': readRules,
  'set-config': setConfig,
  'note-incident': nothing,
  'wait-for-turn': waitForTurn,
  'read-batches': readBatches,
  'read-head': readHead,
  'note-published': notePublished,
  'take-lease': takeLease,
  'release-lease': releaseLease,
  'read-balances': readBalances,
}
