/** The two requests by topic id, byte by byte, and answers that lie about their length. */
import { describe, expect, it } from 'vitest'
import { decodeFetchById, decodeTopicIds, encodeFetchById, encodeMetadata } from './topic-id-protocol.ts'

const ID = '00112233445566778899aabbccddeeff'
const hex = (...parts: string[]): Buffer => Buffer.from(parts.join(''), 'hex')

describe('what is sent', () => {
  it('a fetch of one partition, as the protocol guide lays it out', () => {
    const bytes = encodeFetchById({
      maxWaitTime: 50,
      minBytes: 1,
      maxBytes: 1024,
      isolationLevel: 1,
      topics: [{ topicId: ID, partitions: [{ partition: 7, fetchOffset: '258', maxBytes: 256 }] }],
    })
    const expected = hex(
      '00', // tagged fields of the header
      'ffffffff', // replica
      '00000032', // wait
      '00000001', // least bytes
      '00000400', // most bytes
      '01', // read_committed
      '00000000ffffffff', // no session
      `02${ID}`, // one topic
      '0200000007', // one partition
      'ffffffff', // leader epoch
      '0000000000000102', // position
      'ffffffffffffffffffffffff', // last epoch, log start
      '000001000000', // most bytes, tags of partition and topic
      '0101', // nothing forgotten, empty rack
      '00',
    )
    expect(bytes.toString('hex')).toBe(expected.toString('hex'))
  })

  it('a question for topics by name, which makes none', () => {
    expect(encodeMetadata(['abc']).toString('hex')).toBe(
      hex('00', '02', '0'.repeat(32), '04', '616263', '00', '00', '00', '00').toString('hex'),
    )
    // Lengths above 126 take two bytes.
    expect(
      encodeMetadata(['x'.repeat(249)])
        .subarray(18, 20)
        .toString('hex'),
    ).toBe('fa01')
  })
})

const partition = (error: string, records: string): string[] => [
  '00000007',
  error,
  '0000000000000105',
  '0000000000000104',
  '0000000000000001',
  '02',
  '0000000000000009',
  '0000000000000103',
  '00', // one aborted transaction
  'ffffffff',
  records,
]
const answer = (...partitions: string[][]): Buffer =>
  hex(
    '00',
    '00000005',
    '0000',
    '00000000',
    '02',
    ID,
    `0${partitions.length + 1}`,
    ...partitions.flat(),
    '00',
    '00',
  )

describe('what is answered', () => {
  it('records and what stands beside them; tagged fields are passed over', () => {
    // A tag: number 1, three bytes.
    const bytes = answer([...partition('0000', '04abcdef'), '01', '01', '03', 'aaaaaa'])
    expect(decodeFetchById(bytes)).toEqual({
      throttleTimeMs: 5,
      errorCode: 0,
      topics: [
        {
          topicId: ID,
          partitions: [
            {
              partition: 7,
              errorCode: 0,
              highWatermark: '261',
              lastStableOffset: '260',
              lastStartOffset: '1',
              abortedTransactions: [{ producerId: '9', firstOffset: '259' }],
              preferredReadReplica: -1,
              messages: hex('abcdef'),
            },
          ],
        },
      ],
    })
  })

  it.each([
    ['null', '00'],
    ['none', '01'],
  ])('%s instead of records', (_name, records) => {
    const { topics } = decodeFetchById(answer([...partition('0064', records), '00']))
    expect(topics[0]!.partitions[0]).toMatchObject({ errorCode: 100, messages: Buffer.alloc(0) })
  })

  it('ids of the topics that are there', () => {
    const topic = (error: string, name: string, id: string) => [
      error,
      `04${name}`,
      id,
      '00',
      ...['02', '0000', '00000000', '00000001', '00000002', '0200000001', '0200000001', '01', '00'],
      '80000000',
      '00',
    ]
    const bytes = hex(
      ...['00', '00000000'],
      ...['02', '00000001', '0a', '6c6f63616c686f7374'.slice(0, 18), '00002384', '00', '00'],
      ...['02', '63', '00000001'],
      ...['03', ...topic('0000', '616263', ID), ...topic('0003', '646566', '0'.repeat(32))],
      '00',
    )
    expect(decodeTopicIds(bytes)).toEqual(new Map([['abc', ID]]))
  })

  it('that is shorter than it says, wherever it is cut, is refused', () => {
    const bytes = answer([...partition('0000', '04abcdef'), '00'])
    for (let length = 0; length < bytes.length; length += 1) {
      expect(() => decodeFetchById(bytes.subarray(0, length)), `${length}`).toThrow(RangeError)
    }
  })

  it('a list that claims more than there are bytes is refused before anything is made', () => {
    const bytes = hex('00', '00000000', '0000', '00000000', 'ffffffff0f')
    expect(() => decodeFetchById(bytes)).toThrow('a list is longer than the answer')
  })
})
