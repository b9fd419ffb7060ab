/** A run that can't begin leaves no engine behind: nobody would end it. */
import { expect, test } from 'vitest'
import { testConfiguration } from '#infra/local/test-names.ts'
import { HostileRun } from './hostile-run.ts'

/** Live child processes of this one. */
const children = (): number =>
  process.getActiveResourcesInfo().filter((name) => name === 'ProcessWrap').length

test('a start that fails ends its engine', async () => {
  const before = children()
  const started = HostileRun.start(testConfiguration('hostile_start'), { startTimeoutMs: 0 })
  await expect(started).rejects.toThrow('not applied after 0 ms')
  expect(children()).toBe(before)
})
