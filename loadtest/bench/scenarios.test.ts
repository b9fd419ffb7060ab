/** Which measures scenarios need, and the order in which they are taken. */
import { describe, expect, it } from 'vitest'
import { MEASURES } from './measures.ts'
import { measuresOf, names, planRounds, RATIOS, SCENARIOS, usualScenarios } from './scenarios.ts'

describe('measures', () => {
  it('are taken once, however many scenarios need them', () => {
    expect(measuresOf(['hot', 'throughput'])).toEqual(['tpcb', 'throughput', 'hot'])
    expect(measuresOf(['limit'])).toEqual(['throughput', 'limit'])
  })

  it('are all of some scenario', () => {
    expect(measuresOf(names()).toSorted()).toEqual(Object.keys(MEASURES).toSorted())
  })
})

it('every ratio comes of a single scenario: whoever runs it gets it', () => {
  for (const [name, [above, below]] of Object.entries(RATIOS)) {
    const found = names().filter((scenario) => {
      const { measures }: { measures: readonly string[] } = SCENARIOS[scenario]
      return measures.includes(above.split('.')[0]!) && measures.includes(below.split('.')[0]!)
    })
    expect(found.length, name).toBeGreaterThan(0)
  }
})

it('what takes long runs by name only', () => {
  expect(usualScenarios()).toContain('throughput')
  expect(usualScenarios().length).toBeLessThanOrEqual(names().length)
})

describe('the order of a run', () => {
  const measures = [
    { name: 'a', once: false },
    { name: 'b', once: true },
    { name: 'c', once: false },
  ]

  it('interleaves rounds, every second one backwards, and takes some in the first one only', () => {
    expect(planRounds(measures, 3).map(({ round, name }) => `${round}${name}`)).toEqual([
      ...['0a', '0b', '0c'],
      ...['1c', '1a'],
      ...['2a', '2c'],
    ])
  })
})
