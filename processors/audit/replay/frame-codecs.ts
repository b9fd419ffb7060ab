/** Outputs encoded and read under the registry ids of the time, whatever the schemas are by now. */
import { FRAME_TOPICS } from '#domain/ledger/batch-record.ts'
import { OperatingError } from '#platform/errors.ts'
import { encodeAtOf } from '#platform/schema-registry/contracts.ts'
import { AvroDecoder, type SchemaSource, writerIdOf } from '#platform/schema-registry/serde.ts'
import type { OutputEncoders } from '../../runtime/outputs.ts'
import type { FrameReader } from './differences.ts'

/** Encoders by registry ids; the same ids give the same encoders again. */
export const encodersBy = (
  schemas: SchemaSource,
): ((ids: readonly number[] | undefined) => Promise<OutputEncoders>) => {
  const known = new Map<string, Promise<OutputEncoders>>()
  return (ids) => {
    if (ids?.length !== FRAME_TOPICS.length) {
      const message = `expected the ids of ${FRAME_TOPICS.length} schemas in the batch header, found ${ids?.length ?? 'none'}`
      throw new OperatingError('batch_damaged', message)
    }
    const name = ids.join()
    let made = known.get(name)
    if (made === undefined) {
      made = makeEncoders(schemas, ids)
      known.set(name, made)
    }
    return made
  }
}

const makeEncoders = async (schemas: SchemaSource, ids: readonly number[]): Promise<OutputEncoders> => {
  const encoders = await Promise.all(
    FRAME_TOPICS.map(async (topic, place) => {
      const id = ids[place]!
      return [topic, encodeAtOf<unknown>({ id, schema: await schemas.schema(id) })] as const
    }),
  )
  return Object.fromEntries(encoders) as unknown as OutputEncoders
}

/** Reads frames by their writers' own schemas. */
export const frameReader = (schemas: SchemaSource): FrameReader => {
  const decoders = new Map<number, AvroDecoder<Record<string, unknown>>>()
  return async (_topic, value) => {
    const id = writerIdOf(value)
    if (id === undefined) throw new OperatingError('avro_invalid', 'a frame without a schema id')
    let decoder = decoders.get(id)
    if (decoder === undefined) {
      decoder = new AvroDecoder(schemas, await schemas.schema(id))
      decoders.set(id, decoder)
    }
    await decoder.prepare([id])
    return decoder.decode(value)
  }
}
