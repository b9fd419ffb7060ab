/** Which partitions are asked for by the id of their topic, and when all of them are asked for by name. */
import { expect, it } from 'vitest'
import { type BrokerInside, fetchById, type TopicIdOf } from './fetch-by-id.ts'

const ID = '00112233445566778899aabbccddeeff'

const SEND = Symbol('private:Broker:sendRequest')

/** A broker of the client's kind that keeps what it is sent. */
class Broker {
  readonly versions: BrokerInside['versions']
  readonly sent: Buffer[] = []

  constructor(fetchVersion: number) {
    this.versions = { 1: { maxVersion: fetchVersion } }
  }

  async [SEND]({ request }: { request: { encode(): Promise<{ buffer: Buffer }> } }): Promise<void> {
    this.sent.push((await request.encode()).buffer)
  }
}

const request = {
  maxWaitTime: 50,
  minBytes: 1,
  maxBytes: 1024,
  isolationLevel: 1,
  topics: [
    { topic: 'a', partitions: [0, 1].map((partition) => ({ partition, fetchOffset: '5', maxBytes: 256 })) },
  ],
}

/** How many partitions the request by id names; undefined: it is asked by name. */
const askedById = async (fetchVersion: number, topicIdOf: TopicIdOf): Promise<number | undefined> => {
  const broker = new Broker(fetchVersion)
  const answer = fetchById(broker as unknown as BrokerInside, request, topicIdOf)
  if (answer === undefined) return undefined
  await answer
  const [bytes] = broker.sent
  // Each names its position, 5, in eight bytes.
  return bytes!.toString('hex').split('0000000000000005').length - 1
}

it.each([
  ['all by id', 13, () => ID, 2],
  ['one that is not read any more is left out', 13, (_t: string, p: number) => (p === 0 ? ID : undefined), 1],
  [
    'one without an id: all by name, so that none starves',
    13,
    (_t: string, p: number) => (p === 0 ? ID : null),
    undefined,
  ],
  ['none is read any more', 13, () => undefined, undefined],
  ['a broker that takes no ids', 12, () => ID, undefined],
] as const)('%s', async (_name, version, topicIdOf, expected) => {
  expect(await askedById(version, topicIdOf)).toBe(expected)
})
