/** Publishes a change that somebody answers for, waits as the client wants to, and says why it was refused. */
import type { FastifyRequest } from 'fastify'
import type { ApiDependencies } from '#api/dependencies.ts'
import type { IngestRecord } from '#api/gateway/ingest-gateway.ts'
import { Problem } from '#api/problem.ts'
import { namedActor, waitOf } from '#api/request.ts'
import { wordsOf } from '#domain/transactions/reason-texts.ts'
import type { LogPosition } from '#platform/postgres/queries/read-applied-offsets.ts'
import { readProgress } from '#platform/postgres/queries/read-progress.ts'
import type { TopicKey } from '#schemas/topics.ts'

/** Who answers for the change, from the header `x-actor`. @throws Problem `actor_required`, `actor_invalid` */
export function requiredActor(request: FastifyRequest): string {
  const actor = namedActor(request)
  if (actor !== undefined) return actor
  throw new Problem(400, 'actor_required', 'This needs somebody who answers for it: the header x-actor.')
}

/**
 * @returns where the record stands, and whether it took effect within the wait
 * @throws Problem 409 with the ledger's refusal as its code; what publishing throws
 */
export async function submitChange(
  { gateway, positions, readRefusal, pool, options }: ApiDependencies,
  request: FastifyRequest,
  change: { readonly topic: TopicKey; readonly key: string; readonly record: IngestRecord },
): Promise<{ readonly position: LogPosition; readonly isApplied: boolean }> {
  const waitMs = waitOf(request, options.waitMaxMs) ?? 0
  // What applies the record comes after this.
  const { sequence = 0n } = (waitMs > 0 ? await readProgress(pool) : undefined) ?? {}
  const position = await gateway.publish(change.topic, change.key, change.record)
  if (!(await positions.wait(position, waitMs))) return { position, isApplied: false }
  const refusal = await readRefusal(position, sequence)
  if (refusal === null) return { position, isApplied: true }
  throw new Problem(409, refusal, `The ledger refused it: ${wordsOf(refusal) ?? refusal}.`)
}
