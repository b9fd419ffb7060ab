/** Dead processors are taken out once, and only when it is sure. */
import { expect, it } from 'vitest'
import { watchLostMembers } from './lost-members.ts'

const member = (memberId: string) => ({ memberId, holder: `${memberId}'s process` })

/** Looks at each of these in turn: members without a session, or an outage. */
const watch = async (looks: (string[] | Error)[], removals: (Error | 'not yet')[] = []) => {
  const removed: string[] = []
  const failures: unknown[] = []
  let next: (() => void) | undefined
  let read = 0
  const stop = watchLostMembers({
    everyMs: 1,
    self: "me's process",
    read: async () => {
      const look = looks[read++]!
      if (look instanceof Error) throw look
      return look.map(member)
    },
    remove: async ({ memberId }) => {
      const outcome = removals.shift()
      if (outcome instanceof Error) throw outcome
      if (outcome === 'not yet') return false
      removed.push(memberId)
      return true
    },
    clock: {
      after: (_ms, run) => {
        next = run
        return () => {
          next = undefined
        }
      },
    },
    onFailure: (error) => failures.push(error),
  })
  for (const _ of looks) {
    next?.()
    await new Promise((resolve) => setImmediate(resolve))
  }
  stop()
  expect(next).toBeUndefined()
  return { removed, failures }
}

it('removes one that is lost at two looks in a row, once', async () => {
  expect(await watch([['a'], ['a', 'b'], ['a'], ['a']])).toEqual({ removed: ['a'], failures: [] })
})

it('forgives one that is back at the next look', async () => {
  expect(await watch([['a'], [], ['a'], []])).toMatchObject({ removed: [] })
})

it('leaves itself alone', async () => {
  expect(await watch([['me'], ['me'], ['me']])).toMatchObject({ removed: [] })
})

it('starts anew after an outage: then everybody has lost the session', async () => {
  const away = new Error('away')
  expect(await watch([['a'], away, ['a'], []])).toEqual({ removed: [], failures: [away] })
})

it('tries again where the group could not be told', async () => {
  const away = new Error('away')
  expect(await watch([['a'], ['a'], ['a'], ['a']], [away])).toEqual({ removed: ['a'], failures: [away] })
  expect(await watch([['a'], ['a'], ['a']], ['not yet'])).toEqual({ removed: ['a'], failures: [] })
})
