/** The registry client on a real registry, and on things that only look like one. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, expect, inject, it } from 'vitest'
import { freshLedgerName } from '#infra/local/test-names.ts'
import { SchemaRegistry } from './registry.ts'
import { AvroDecoder, AvroEncoder } from './serde.ts'

const url = inject('stackEndpoints').schemaRegistryUrl!
const subject = `${freshLedgerName('registry')}-value`
const first = {
  type: 'record',
  name: 'Sample',
  namespace: 'test',
  fields: [{ name: 'amount', type: 'long' }],
}
const second = { ...first, fields: [...first.fields, { name: 'note', type: 'string', default: '' }] }
const servers: Server[] = []

afterAll(() => {
  for (const server of servers) server.close()
})

async function fakeServer(status: number, body: string): Promise<{ url: string; requests: () => number }> {
  let requests = 0
  const server = createServer((_request, response) => {
    requests++
    if (status === 0) return
    response.writeHead(status, { 'content-type': 'application/json' }).end(body)
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests: () => requests }
}

it('registers, looks up from another client, and decodes with longs as bigint', async () => {
  const id = await new SchemaRegistry({ url }).register(subject, first)
  expect(await new SchemaRegistry({ url }).register(subject, first)).toBe(id)
  const decoder = new AvroDecoder<{ amount: bigint }>(new SchemaRegistry({ url }), first)
  await decoder.prepare([id])
  const bytes = new AvroEncoder<{ amount: bigint }>(first, id).encode({ amount: 2n ** 62n + 1n })
  expect(decoder.decode(bytes).amount).toBe(2n ** 62n + 1n)
})

it('holds every subject to BACKWARD from its second schema on', async () => {
  const registry = new SchemaRegistry({ url })
  expect(await registry.register(subject, second)).toBeGreaterThan(0)
  const withoutDefault = { ...first, fields: [...first.fields, { name: 'needed', type: 'string' }] }
  await expect(registry.register(subject, withoutDefault)).rejects.toMatchObject({
    code: 'schema_incompatible',
  })
})

it('an old reader decodes what a newer writer registered', async () => {
  const id = await new SchemaRegistry({ url }).register(subject, second)
  const decoder = new AvroDecoder<{ amount: bigint }>(new SchemaRegistry({ url }), first)
  await decoder.prepare([id])
  expect(decoder.decode(new AvroEncoder(second, id).encode({ amount: 5n, note: 'n' }))).toEqual({
    amount: 5n,
  })
})

it('an id that the registry does not know is final, and is not asked for again for a while', async () => {
  let nowMs = 1_000
  const registry = new SchemaRegistry({ url, unknownForMs: 60_000, nowMs: () => nowMs })
  await expect(registry.schema(987_654)).rejects.toMatchObject({ code: 'schema_unknown', retriable: false })
  const startedMs = performance.now()
  await expect(registry.schema(987_654)).rejects.toMatchObject({ code: 'schema_unknown' })
  expect(performance.now() - startedMs).toBeLessThan(50)
  nowMs += 60_001
  await expect(registry.schema(987_654)).rejects.toMatchObject({ code: 'schema_unknown' })
})

it('a wrong base path answers 404 to everything: that is not "unknown id"', async () => {
  const registry = new SchemaRegistry({ url: `${new URL(url).origin}/nowhere` })
  await expect(registry.schema(1)).rejects.toMatchObject({ code: 'registry_unreachable', retriable: true })
})

it.each([
  ['refuses connections', 'http://127.0.0.1:1'],
  ['fails', 500],
  ['wants a login', 401],
])('a registry that %s is unreachable, which is retriable', async (_name, target) => {
  const at = typeof target === 'string' ? target : (await fakeServer(target, '{"message":"no"}')).url
  const registry = new SchemaRegistry({ url: at, requestTimeoutMs: 5_000 })
  await expect(registry.schema(1)).rejects.toMatchObject({ code: 'registry_unreachable', retriable: true })
  await expect(registry.register('s', first)).rejects.toMatchObject({ code: 'registry_unreachable' })
})

it('a registry that never answers is given up in time', async () => {
  const registry = new SchemaRegistry({ url: (await fakeServer(0, '')).url, requestTimeoutMs: 300 })
  const startedMs = performance.now()
  await expect(registry.schema(1)).rejects.toMatchObject({ code: 'registry_unreachable' })
  expect(performance.now() - startedMs).toBeLessThan(2_000)
})

it('asks once for many records of one unknown writer at the same time', async () => {
  const body = JSON.stringify({ schema: JSON.stringify(first) })
  const server = await fakeServer(200, body)
  const registry = new SchemaRegistry({ url: server.url })
  await Promise.all(Array.from({ length: 50 }, () => registry.schema(3)))
  expect(server.requests()).toBe(1)
})

it('a flood of unknown ids is no flood of requests: a few at a time, and one proof for all that a registry answers', async () => {
  let underWay = 0
  let most = 0
  let subjects = 0
  const server = createServer((request, response) => {
    if (request.url === '/subjects') subjects += 1
    underWay += 1
    most = Math.max(most, underWay)
    setTimeout(() => {
      underWay -= 1
      const known = request.url === '/subjects'
      response.writeHead(known ? 200 : 404, { 'content-type': 'application/json' }).end(known ? '[]' : '{}')
    }, 2)
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  // A clock that stands still: the proof is as good for the last as for the first.
  const registry = new SchemaRegistry({ url: `http://127.0.0.1:${port}`, nowMs: () => 0 })
  const looked = await Promise.allSettled(Array.from({ length: 300 }, (_, id) => registry.schema(id)))
  expect(new Set(looked.map((each) => (each.status === 'rejected' ? each.reason.code : 'found')))).toEqual(
    new Set(['schema_unknown']),
  )
  expect(most).toBeGreaterThan(4)
  expect(most).toBeLessThanOrEqual(17)
  expect(subjects).toBe(1)
})
