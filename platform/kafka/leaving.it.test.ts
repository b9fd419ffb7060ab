/** Who is stopped while it is just joining leaves nothing behind: a member that nobody knows of would keep partitions from being read. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, expect, it } from 'vitest'
import { admin, freshTopic, kafka, testConsumer } from './kafka.fixtures.ts'

const groups = kafka.admin()
afterAll(async () => {
  await groups.disconnect()
  await admin.close()
})

const membersOf = async (groupId: string): Promise<number> => {
  const { groups: found } = await groups.describeGroups([groupId])
  return found[0]?.members.length ?? 0
}

/** Longer than a ghost's session would last if it were not alive, ms. */
const SESSION_MS = 3_000

it('whenever it is stopped, no member stays', { timeout: 120_000 }, async () => {
  await groups.connect()
  const topic = await freshTopic('leaving', 2)
  const delaysMs = [0, 2, 5, 10, 15, 20, 30, 40, 60, 80, 120, 200]
  const labels = await Promise.all(
    delaysMs.map(async (delayMs) => {
      const groupId = `${topic}-${delayMs}`
      const reader = testConsumer([topic], { groupId })
      const starting = reader.consumer.start().catch(() => undefined)
      await sleep(delayMs)
      await Promise.all([reader.consumer.stop(), starting])
      return groupId
    }),
  )
  await sleep(SESSION_MS + 1_000)
  const members = await Promise.all(labels.map(async (groupId) => [groupId, await membersOf(groupId)]))
  expect(members.filter(([, count]) => count !== 0)).toEqual([])
})
