/** What people ask of reconciliation, as JSON: the settings of a pair, and what is to become of a break. */
import type { BreakCommand, BreakRefusal, Resolution } from '#domain/breaks/break-life.ts'
import { BREAK_KINDS, type BreakKind } from '#domain/breaks/classify.ts'
import type { WriteOffRefusal } from './write-off.ts'

/** A command to a break of a pair. */
export interface PairCommand {
  /** Unique: the same id again has no further effect. */
  readonly id: string
  readonly pair: string
  /** The break's id. */
  readonly subject: string
  /** null = it can't be read. */
  readonly command: BreakCommand | null
}

/**
 * Why a command had no effect. `command_invalid`: it can't be read. `resolution_unfit`: that isn't how such a break ends.
 * `items_taken`: an item isn't there or isn't free. `match_unknown`: no such match stands. `accounts_differ`, `nothing_to_post`,
 * `account_of_pair`: what can't be written off (write-off.ts).
 */
export type CommandRefusal =
  | BreakRefusal
  | WriteOffRefusal
  | 'command_invalid'
  | 'resolution_unfit'
  | 'items_taken'
  | 'match_unknown'

const IDS_MAX = 1_000

/** Whether a value's texts can be stored: no database keeps a zero character or half a character pair. */
export function isStorable(value: unknown): boolean {
  if (typeof value === 'string') return value.isWellFormed() && !value.includes('\u0000')
  if (typeof value !== 'object' || value === null) return true
  for (const key in value) {
    if (!isStorable(key) || !isStorable((value as Record<string, unknown>)[key])) return false
  }
  return true
}

/** Reads the JSON of a break command; null where it is none. */
export function parseBreakCommand(kind: string, body: string, actor: string): BreakCommand | null {
  const value = objectOf(body)
  if (value === null || !isStorable(value)) return null
  const { reason, text, owner } = value
  switch (kind) {
    case 'assign':
      return owner === null || typeof owner === 'string' ? { type: 'assign', owner, actor } : null
    case 'note':
      return typeof text === 'string' ? { type: 'note', text, actor } : null
    case 'approve':
      return { type: 'approve', actor }
    case 'refuse':
      return typeof reason === 'string' ? { type: 'refuse', reason, actor } : null
    case 'reopen': {
      const kindOfBreak = BREAK_KINDS.find((known) => known === value.kind) satisfies BreakKind | undefined
      return typeof reason === 'string' && kindOfBreak !== undefined
        ? { type: 'reopen', kind: kindOfBreak, reason, actor }
        : null
    }
    case 'propose': {
      const resolution = resolutionOf(value.resolution)
      return typeof reason === 'string' && resolution !== null
        ? { type: 'propose', resolution, reason, actor }
        : null
    }
    default:
      return null
  }
}

function objectOf(body: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null
  } catch {
    return null
  }
}

function resolutionOf(value: unknown): Resolution | null {
  if (typeof value !== 'object' || value === null) return null
  const { kind, ledger, bank, account } = value as Record<string, unknown>
  if (kind === 'ignore') return { kind }
  if (!isIds(ledger) || !isIds(bank)) return null
  if (kind === 'match' || kind === 'unmatch') return { kind, ledger, bank }
  return kind === 'write_off' && typeof account === 'string' ? { kind, account, ledger, bank } : null
}

const isIds = (value: unknown): value is string[] =>
  Array.isArray(value) && value.length <= IDS_MAX && value.every((id) => typeof id === 'string')
