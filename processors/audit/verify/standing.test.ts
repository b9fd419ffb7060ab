/** Clusters of the batches against those that the table names. */
import { expect, it } from 'vitest'
import { Findings } from './findings.ts'
import { compareClusters } from './standing.ts'

const found = (stored: string[], clusters: string[]): string[] => {
  const findings = new Findings()
  compareClusters(stored, clusters, findings)
  return findings.listed.map(({ key, kind }) => `${key} ${kind}`)
}

it('clusters stand in the order in which they were read last', () => {
  expect(found(['a', 'b'], ['a', 'b'])).toEqual([])
  expect(found(['b', 'a'], ['a', 'b'])).toEqual(['b changed', 'a changed'])
  expect(found(['a'], ['a', 'b'])).toEqual(['b removed'])
})

it('a cluster that no batch was read from says nothing', () => {
  expect(found(['a', 'unread', 'b'], ['a', 'b'])).toEqual([])
})
