/** Container files: what is written is read, in blocks; equal content gives equal bytes; damage is a coded error. */
import { createReadStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, describe, expect, it } from 'vitest'
import { AvroFileWriter, readAvroFile } from './avro-container.ts'

const folder = mkdtempSync(join(tmpdir(), 'tallystream-avro-'))
afterAll(() => rmSync(folder, { recursive: true }))

const schema = {
  type: 'record',
  name: 'Thing',
  fields: [
    { name: 'number', type: 'long' },
    { name: 'bytes', type: ['null', 'bytes'] },
  ],
}

const write = async (name: string, count: number) => {
  const path = join(folder, name)
  const file = new AvroFileWriter(path, schema, { 'test.kind': 'thing' })
  for (let n = 0; n < count; n += 1) {
    // Not repetitive: the blocks stay large when they are packed.
    await file.append({ number: 2n ** 62n + BigInt(n), bytes: n % 3 === 0 ? null : noise(n) })
  }
  return { path, result: await file.close() }
}
const noise = (n: number): Buffer =>
  Buffer.from(Array.from({ length: 200 }, (_, place) => (n * 7 + place * place * 31) & 255))

const read = async (source: Readable): Promise<{ number: bigint; bytes: Buffer | null }[]> => {
  const values: { number: bigint; bytes: Buffer | null }[] = []
  for await (const value of readAvroFile<(typeof values)[number]>(source)) values.push(value)
  return values
}

describe('container files', () => {
  it('give back what was written, longs exactly, over many blocks', async () => {
    const { path, result } = await write('many', 20_000)
    const values = await read(createReadStream(path))
    expect(values).toHaveLength(20_000)
    expect(result).toMatchObject({ count: 20_000, bytes: readFileSync(path).length })
    expect(values[1]).toEqual({ number: 2n ** 62n + 1n, bytes: noise(1) })
    expect(values[19_998]).toEqual({ number: 2n ** 62n + 19_998n, bytes: null })
  })

  it('are the same bytes for the same values', async () => {
    const [one, two] = [await write('one', 500), await write('two', 500)]
    expect(one.result.sha256).toEqual(two.result.sha256)
    expect(one.result.sha256).not.toEqual((await write('three', 501)).result.sha256)
  })

  it('may be empty', async () => {
    const { path, result } = await write('empty', 0)
    expect(result.count).toBe(0)
    expect(await read(createReadStream(path))).toEqual([])
  })

  it('that are damaged are a coded error', async () => {
    const { path } = await write('damaged', 5_000)
    const bytes = readFileSync(path)
    bytes[bytes.length - 5]! ^= 0xff
    await expect(read(Readable.from([bytes]))).rejects.toMatchObject({ code: 'avro_invalid' })
    await expect(read(Readable.from([Buffer.from('no such file')]))).rejects.toMatchObject({
      code: 'avro_invalid',
    })
  })

  it('pass on what their source fails with, and values that are not of the schema', async () => {
    const failing = Readable.from(
      (async function* () {
        yield readFileSync((await write('failing', 5_000)).path).subarray(0, 100)
        throw new Error('gone')
      })(),
    )
    await expect(read(failing)).rejects.toThrow('gone')
    const path = join(folder, 'wrong')
    writeFileSync(path, '')
    const file = new AvroFileWriter(path, schema, {})
    await file.append({ number: 'one', bytes: null }).catch(() => undefined)
    await expect(file.close()).rejects.toThrow()
  })
})
