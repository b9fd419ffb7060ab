/** The OpenAPI document: whoever reads it alone can use the API. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { buildTestApi } from '#api/fixtures.ts'

interface Operation {
  operationId?: string
  summary?: string
  description?: string
  parameters?: { name: string; description?: string }[]
  requestBody?: { content: Record<string, Media> }
  responses: Record<string, { description: string; content?: Record<string, Media> }>
}
interface Media {
  example?: unknown
  examples?: unknown
}

test('the document describes every route, its parameters and its answers, with examples', async () => {
  const { app } = await buildTestApi()
  const { paths } = (await app.inject('/docs/json')).json() as {
    paths: Record<string, Record<string, Operation>>
  }
  const missing: string[] = []
  const ids: string[] = []
  for (const [path, operations] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const lacks = (what: string, isThere: unknown) => {
        if (!isThere) missing.push(`${method} ${path}: ${what}`)
      }
      const lacksExample = (what: string, content: Record<string, Media> = {}) => {
        for (const [type, media] of Object.entries(content)) {
          lacks(`an example of ${what} as ${type}`, media.example ?? media.examples)
        }
      }
      lacks('operationId', operation.operationId)
      ids.push(operation.operationId ?? '')
      lacks('summary', operation.summary)
      lacks('description', operation.description)
      for (const { name, description } of operation.parameters ?? []) lacks(`words for ${name}`, description)
      lacksExample('the body', operation.requestBody?.content)
      for (const [status, { description, content }] of Object.entries(operation.responses)) {
        lacks(`words for ${status}`, description !== 'Default Response')
        lacksExample(status, content)
      }
    }
  }
  expect(missing).toEqual([])
  expect(new Set(ids).size).toBe(ids.length)
})

test('the README has every route, and no other', async () => {
  const { app } = await buildTestApi()
  const { paths } = (await app.inject('/docs/json')).json() as { paths: Record<string, object> }
  const routes = Object.entries(paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
  )
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const table = readme.split('\n| route')[1]!.split('\n\n')[0]!
  const named = [...table.matchAll(/`((?:GET|POST|PUT|DELETE) [^`]+)`/g)].map(([, route]) => route!)
  expect(named.toSorted()).toEqual(routes.toSorted())
})
