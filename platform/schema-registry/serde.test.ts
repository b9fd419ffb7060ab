/** The serializers without a registry: exactness of longs, evolution, and what hostile bytes get. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { OperatingError } from '#platform/errors.ts'
import type { AvroSchemaObject } from './registry.ts'
import { AvroDecoder, AvroEncoder, avroType, writerIdOf } from './serde.ts'

const schema: AvroSchemaObject = {
  type: 'record',
  name: 'Sample',
  namespace: 'test',
  fields: [
    { name: 'id', type: 'string' },
    { name: 'amount', type: 'long' },
    { name: 'note', type: ['null', 'string'], default: null },
    {
      name: 'parts',
      type: {
        type: 'array',
        items: { type: 'record', name: 'Part', fields: [{ name: 'minor', type: 'long' }] },
      },
    },
    { name: 'tags', type: { type: 'map', values: 'string' } },
    { name: 'kind', type: { type: 'enum', name: 'Kind', symbols: ['A', 'B'] } },
  ],
}

interface Sample {
  id: string
  amount: bigint
  note: string | null
  parts: { minor: bigint }[]
  tags: Record<string, string>
  kind: 'A' | 'B'
}

const sample = (changes: Partial<Sample> = {}): Sample => ({
  id: 'x',
  amount: 1n,
  note: null,
  parts: [],
  tags: {},
  kind: 'A',
  ...changes,
})

/** A registry of schemas by id. */
const source = (schemas: Record<number, AvroSchemaObject | OperatingError>) => ({
  async schema(id: number): Promise<AvroSchemaObject> {
    const found = schemas[id] ?? new OperatingError('schema_unknown', `no ${id}`)
    if (found instanceof OperatingError) throw found
    return found
  },
})

async function decoderFor(
  writerSchema: AvroSchemaObject,
  readerSchema: AvroSchemaObject = schema,
): Promise<AvroDecoder<Sample>> {
  const decoder = new AvroDecoder<Sample>(source({ 7: writerSchema }), readerSchema)
  await decoder.prepare([7])
  return decoder
}

const codeOf = (work: () => unknown): string => {
  try {
    work()
  } catch (error) {
    return (error as OperatingError).code
  }
  return 'none'
}

describe('round trip', () => {
  it('keeps every value, longs above 2^53 included, with and without a look at its lengths first', async () => {
    const decoder = await decoderFor(schema)
    const trusting = new AvroDecoder<Sample>(source({ 7: schema }), schema, { trusted: true })
    await trusting.prepare([7])
    const encoder = new AvroEncoder<Sample>(schema, 7)
    const long = fc.oneof(
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      fc.bigInt({ min: -300n, max: 300n }),
    )
    const value = fc.record<Sample>({
      id: fc.string({ unit: 'grapheme' }),
      amount: long,
      note: fc.option(fc.string()),
      parts: fc.array(fc.record({ minor: long })),
      tags: fc.dictionary(
        fc.string().filter((key) => key !== '__proto__'),
        fc.string(),
        { noNullPrototype: true },
      ),
      kind: fc.constantFrom('A', 'B'),
    })
    fc.assert(
      fc.property(value, (given) => {
        const bytes = encoder.encode(given)
        expect(writerIdOf(bytes)).toBe(7)
        const decoded = decoder.decode(bytes)
        expect({ ...decoded, parts: decoded.parts.map((part) => ({ ...part })) }).toEqual({ ...given })
        expect(trusting.decode(bytes)).toEqual(decoded)
      }),
    )
  })

  it('writes longs as the library does', () => {
    const theirs = avroType({ type: 'record', name: 'L', fields: [{ name: 'v', type: 'int' }] })
    const ours = avroType({ type: 'record', name: 'L', fields: [{ name: 'v', type: 'long' }] })
    for (const v of [0, 1, -1, 63, 64, -64, -65, 2 ** 30, -(2 ** 30), 2 ** 31 - 1, -(2 ** 31)]) {
      expect(ours.toBuffer({ v: BigInt(v) })).toEqual(theirs.toBuffer({ v }))
    }
  })

  it('writes and reads longs by the format at every power of two', () => {
    const type = avroType({ type: 'record', name: 'L', fields: [{ name: 'v', type: 'long' }] })
    const edges = Array.from({ length: 64 }, (_, bit) => 1n << BigInt(bit))
    const around = edges.flatMap((edge) => [
      edge - 2n,
      edge - 1n,
      edge,
      edge + 1n,
      -edge,
      -edge - 1n,
      1n - edge,
    ])
    for (const v of around.filter((v) => BigInt.asIntN(64, v) === v)) {
      const bytes = type.toBuffer({ v })
      expect(bytes, String(v)).toEqual(zigzagVarint(v))
      expect(type.fromBuffer(bytes).v).toBe(v)
    }
  })

  it('grows for values larger than a slab and never writes over earlier results', async () => {
    const decoder = await decoderFor(schema)
    const encoder = new AvroEncoder<Sample>(schema, 7)
    const sizes = [10, 200_000, 100_000, 700_000, 5]
    const encoded = sizes.map((size) => encoder.encode(sample({ id: 'a'.repeat(size) })))
    expect(encoded.map((bytes) => decoder.decode(bytes).id.length)).toEqual(sizes)
  })

  it('refuses values that do not fit', () => {
    const encoder = new AvroEncoder<unknown>(schema, 7)
    expect(codeOf(() => encoder.encode({ ...sample(), amount: 1 }))).toBe('avro_invalid')
    expect(codeOf(() => encoder.encode({ ...sample(), amount: 2n ** 63n }))).toBe('avro_invalid')
    expect(codeOf(() => encoder.encode({ ...sample(), kind: 'C' }))).toBe('avro_invalid')
  })
})

describe('evolution', () => {
  const fields = schema.fields as { name: string }[]
  const old = { ...schema, fields: fields.filter(({ name }) => name !== 'note') }

  it('an old writer: the default stands in for the field it does not know', async () => {
    const { note: _note, ...value } = sample({ amount: 2n ** 60n })
    const bytes = new AvroEncoder(old, 7).encode(value)
    expect((await decoderFor(old)).decode(bytes)).toMatchObject({ note: null, amount: 2n ** 60n })
  })

  it('a newer writer: the field that we do not know is skipped', async () => {
    const bytes = new AvroEncoder<Sample>(schema, 7).encode(sample({ note: 'new', kind: 'B' }))
    const decoded = (await decoderFor(schema, old)).decode(bytes)
    expect(decoded).toMatchObject({ kind: 'B' })
    expect(decoded).not.toHaveProperty('note')
  })

  it('an int of an old writer is read as a long', async () => {
    const narrow = { type: 'record', name: 'N', fields: [{ name: 'v', type: 'int' }] }
    const wide = { type: 'record', name: 'N', fields: [{ name: 'v', type: 'long' }] }
    const decoder = new AvroDecoder<{ v: bigint }>(source({ 7: narrow }), wide)
    await decoder.prepare([7])
    expect(decoder.decode(new AvroEncoder(narrow, 7).encode({ v: -5 })).v).toBe(-5n)
  })

  it('a writer that can not be read as ours is final, for its records only', async () => {
    const other = { ...schema, fields: [{ name: 'id', type: 'int' }] }
    const decoder = await decoderFor(other)
    expect(codeOf(() => decoder.decode(new AvroEncoder(other, 7).encode({ id: 1 })))).toBe(
      'schema_incompatible',
    )
  })
})

describe('the registry', () => {
  it('away: prepare fails and can be tried again; nothing is decided about the records', async () => {
    const away = new OperatingError('registry_unreachable', 'away', { retriable: true })
    const schemas: Record<number, AvroSchemaObject | OperatingError> = { 7: away }
    const decoder = new AvroDecoder<Sample>(source(schemas), schema)
    await expect(decoder.prepare([7])).rejects.toMatchObject({
      code: 'registry_unreachable',
      retriable: true,
    })
    expect(decoder.isReady(7)).toBe(false)
    schemas[7] = schema
    await decoder.prepare([7])
    expect(decoder.decode(new AvroEncoder<Sample>(schema, 7).encode(sample())).id).toBe('x')
  })

  it('without the id: final for the record, asked again for later ones', async () => {
    const schemas: Record<number, AvroSchemaObject | OperatingError> = {}
    const decoder = new AvroDecoder<Sample>(source(schemas), schema)
    await decoder.prepare([7])
    const bytes = new AvroEncoder<Sample>(schema, 7).encode(sample())
    expect(codeOf(() => decoder.decode(bytes))).toBe('schema_unknown')
    schemas[7] = schema
    await decoder.prepare([7])
    expect(decoder.decode(bytes).id).toBe('x')
  })
})

/** The format of longs as the specification puts it. */
const zigzagVarint = (value: bigint): Buffer => {
  const bytes: number[] = []
  let left = value < 0n ? -value * 2n - 1n : value * 2n
  for (; left > 127n; left /= 128n) bytes.push(Number(left % 128n) + 128)
  return Buffer.from([...bytes, Number(left)])
}

/** A long as Avro writes it. */
const long = (value: bigint): Buffer => {
  const type = avroType({ type: 'record', name: 'V', fields: [{ name: 'v', type: 'long' }] })
  return type.toBuffer({ v: value })
}
const wire = (...parts: Buffer[]): Buffer => Buffer.concat([Buffer.from([0, 0, 0, 0, 7]), ...parts])
const text = (value: string): Buffer => Buffer.concat([long(BigInt(value.length)), Buffer.from(value)])

describe('hostile bytes', () => {
  const head = [text('x'), long(1n), long(0n)]
  /** A map of one entry, and what is behind it. */
  const mapOf = (key: Buffer) => Buffer.concat([long(0n), long(1n), key, text('value'), long(0n), long(0n)])
  const overlong = Buffer.concat([Buffer.from([0x92, 0]), Buffer.from('__proto__')])
  const cases: [string, Buffer][] = [
    ['an array of 2^31 items in ten bytes', wire(...head, long(2n ** 31n), Buffer.alloc(10))],
    ['an array of 2^62 items', wire(...head, long(2n ** 62n), Buffer.alloc(3))],
    ['a block with a negative count and a false size', wire(...head, long(-5n), long(9n), Buffer.alloc(30))],
    ['a map with a key that the decoder would lose', wire(...head, mapOf(text('__proto__')))],
    ['the same key, its length written with a byte too many', wire(...head, mapOf(overlong))],
    ['a map of 2^40 entries', wire(...head, long(0n), long(2n ** 40n), Buffer.alloc(10))],
    ['text longer than the payload', wire(long(1_000_000n), Buffer.from('abc'))],
    ['text of negative length', wire(long(-1n), Buffer.alloc(20))],
    ['text that is not UTF-8', wire(long(1n), Buffer.from([0xff]), long(1n), long(0n), Buffer.alloc(3))],
    ['an enumeration symbol that is not there', wire(...head, long(0n), long(0n), long(2n))],
    ['a union branch that is not there', wire(text('x'), long(1n), long(9n), Buffer.alloc(3))],
    ['a number that never ends', wire(text('x'), Buffer.alloc(30, 0xff))],
    ['trailing bytes', wire(...head, long(0n), long(0n), long(0n), Buffer.from([0]))],
    ['nothing', wire()],
    ['no schema id', Buffer.from([0, 0])],
    ['JSON', Buffer.from('{"id":"x"}')],
  ]
  it.each(cases)('%s is refused, quickly', async (_name, bytes) => {
    const decoder = await decoderFor(schema)
    const startedMs = performance.now()
    expect(codeOf(() => decoder.decode(bytes))).toBe('avro_invalid')
    expect(performance.now() - startedMs).toBeLessThan(200)
  })

  it('a map keeps every other key, those of the prototype too', async () => {
    const keys = ['constructor', 'toString', 'hasOwnProperty', 'valueOf', '__proto', 'x__proto__', '']
    const decoder = await decoderFor(schema)
    for (const key of keys) {
      expect(Object.entries(decoder.decode(wire(...head, mapOf(text(key)))).tags)).toEqual([[key, 'value']])
    }
  })

  it('items without bytes are bounded', async () => {
    const nulls = {
      type: 'record',
      name: 'Nulls',
      fields: [{ name: 'list', type: { type: 'array', items: 'null' } }],
    }
    const decoder = await decoderFor(nulls, nulls)
    expect(codeOf(() => decoder.decode(wire(long(2n ** 33n), long(0n))))).toBe('avro_invalid')
  })

  it('nesting is bounded', async () => {
    const list = {
      type: 'record',
      name: 'Link',
      fields: [{ name: 'next', type: ['null', 'Link'] }],
    }
    const decoder = await decoderFor(list, list)
    expect(codeOf(() => decoder.decode(wire(Buffer.alloc(100_000, 2), Buffer.from([0]))))).toBe(
      'avro_invalid',
    )
    expect(codeOf(() => decoder.decode(wire(Buffer.alloc(5, 2), Buffer.from([0]))))).toBe('none')
  })

  it('random changes of valid bytes decode or are refused, and never hang or leak another error', async () => {
    const decoder = await decoderFor(schema)
    const valid = new AvroEncoder<Sample>(schema, 7).encode(
      sample({ note: 'note', parts: [{ minor: 5n }, { minor: -7n }], tags: { a: 'b' } }),
    )
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(valid.length - 6), fc.nat(255)), { maxLength: 4 }), (changes) => {
        const bytes = Buffer.from(valid)
        for (const [position, byte] of changes) bytes[position + 5] = byte
        expect(['none', 'avro_invalid']).toContain(codeOf(() => decoder.decode(bytes)))
      }),
    )
  })
})
