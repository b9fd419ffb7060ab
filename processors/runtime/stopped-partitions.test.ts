/** Stopped partitions are looked at again at a growing pace with a bound, and forgotten only when they recovered. */
import { expect, test } from 'vitest'
import { StoppedPartitions } from './stopped-partitions.ts'

const setUp = () => {
  let nowMs = 0
  const stopped = new StoppedPartitions({
    wallMs: () => nowMs,
    monotonicMs: () => nowMs,
    after: () => () => undefined,
  })
  const pass = (ms: number) => {
    nowMs += ms
    return stopped.due().length
  }
  return { stopped, pass }
}
const incident = (detail = 'position 2, log from 5 to 11') => ({
  topic: 'transactions',
  partition: 0,
  code: 'position_out_of_range',
  detail,
})

test('the pauses double up to 30 s', () => {
  const { stopped, pass } = setUp()
  for (const seconds of [1, 2, 4, 8, 16, 30, 30]) {
    stopped.raise(incident())
    expect(pass(seconds * 1_000 - 1)).toBe(0)
    expect(pass(1)).toBe(1)
  }
})

test('the same found again is no news; another detail is', () => {
  const { stopped } = setUp()
  expect(stopped.raise(incident())).toBe(true)
  expect(stopped.raise(incident())).toBe(false)
  expect(stopped.raise(incident('position 2, log from 7 to 11'))).toBe(true)
})

test('one that is read again has recovered when records came, or when nothing was wrong for a pause', () => {
  const { stopped, pass } = setUp()
  stopped.raise(incident())
  pass(1_000)
  stopped.onTrial(incident())
  expect(stopped.isEmpty).toBe(false)
  stopped.recovered('transactions:0')
  expect(stopped.isEmpty).toBe(true)

  stopped.raise(incident())
  pass(1_000)
  stopped.onTrial(incident())
  expect(pass(1_000)).toBe(0)
  expect(stopped.isEmpty).toBe(true)
})

test('one that stops again on trial waits longer than before', () => {
  const { stopped, pass } = setUp()
  stopped.raise(incident())
  expect(pass(1_000)).toBe(1)
  stopped.onTrial(incident())
  stopped.raise(incident())
  expect(pass(1_000)).toBe(0)
  expect(pass(1_000)).toBe(1)
})
