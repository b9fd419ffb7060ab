/** docs/errors.md lists every code that may be matched on: it is held against the sources. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const folders = ['api', 'cli', 'connectors', 'infra', 'loadtest', 'platform', 'processors']
const files = execFileSync('git', ['ls-files', '--', ...folders], { cwd: root, encoding: 'utf8' })
  .split('\n')
  .filter((file) => /\.ts$/.test(file) && !/\.test\.ts$|fixtures\.ts$|\/testing\//.test(file))

const RAISED = /new (?:OperatingError|IncidentError|Problem)\(\s*(?:\d{3},\s*)?'([a-z_]+)'/g
const UNREACHABLE = /new UnreachableError\(\s*'([a-z_]+)'/g

function codesIn(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8')
  const raised = [...text.matchAll(RAISED)].map(([, code]) => code!)
  return [...raised, ...[...text.matchAll(UNREACHABLE)].map(([, service]) => `${service}_unreachable`)]
}

test('every code that the sources raise is in docs/errors.md', () => {
  const codes = new Map(files.flatMap((file) => codesIn(file).map((code) => [code, file] as const)))
  // The patterns find what they should.
  for (const known of ['kafka_unreachable', 'head_missing', 'amount_invalid']) {
    expect([...codes.keys()]).toContain(known)
  }
  const documented = readFileSync(join(root, 'docs/errors.md'), 'utf8')
  const missing = [...codes].filter(([code]) => !documented.includes(`\`${code}\``))
  expect(missing).toEqual([])
})
