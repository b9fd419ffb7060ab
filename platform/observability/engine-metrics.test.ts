/** docs/metrics.md names every metric of the engine, with its labels, and no other. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { makeEngineMetrics } from './engine-metrics.ts'

test('the table in docs/metrics.md is what the engine serves', async () => {
  const document = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8')
  const documented = [...document.matchAll(/^\| `(tallystream_\w+)(?:\{([\w,]+)\})?`/gm)].map(
    ([, name, labels]) => `${name}{${labels ?? ''}}`,
  )
  const { registry } = makeEngineMetrics()
  const served = registry.getMetricsAsArray().map((metric) => {
    const { name, labelNames } = metric as unknown as { name: string; labelNames: readonly string[] }
    return `${name}{${labelNames.filter((label) => label !== 'le').join(',')}}`
  })
  expect(documented.toSorted()).toEqual(served.toSorted())
})
