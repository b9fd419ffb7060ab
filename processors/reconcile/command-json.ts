/** A command as gateways write it: the fields of schemas/avro/reconciliation-command.avsc as JSON. */
import type { CommandValue } from './pair-runner.ts'

/** Null where the text isn't one. */
export function commandOfJson(text: string): CommandValue | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return null
  }
  if (typeof value !== 'object' || value === null) return null
  const { id, pair, kind, subject, body, actor, occurredAt } = value as Record<string, unknown>
  const texts = { id, pair, kind, subject, body, actor }
  if (!isTexts(texts) || !Number.isSafeInteger(occurredAt)) return null
  return { ...texts, occurredAt: BigInt(occurredAt as number) }
}

const isTexts = <Name extends string>(values: Record<Name, unknown>): values is Record<Name, string> =>
  Object.values(values).every((value) => typeof value === 'string')
