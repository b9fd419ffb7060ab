/** The protocol readers name the moments that traps wait for, however the bytes are cut, and pass on every byte. */
import { describe, expect, test } from 'vitest'
import { KAFKA_EVENTS, KafkaReader } from './kafka-protocol.ts'
import { POSTGRES_EVENTS, PostgresReader } from './postgres-protocol.ts'
import { REDIS_EVENTS, RedisReader } from './redis-protocol.ts'
import type { Frame } from './tcp-proxy.ts'

const zero = (text: string): Buffer => Buffer.from(`${text}\0`)

/** A Postgres message: type, length that counts itself, body. */
const message = (type: string, ...parts: Buffer[]): Buffer => {
  const body = Buffer.concat(parts)
  const length = Buffer.alloc(4)
  length.writeInt32BE(body.length + 4)
  return Buffer.concat([Buffer.from(type), length, body])
}

const prepared = (name: string, text?: string): Buffer =>
  Buffer.concat([
    ...(text === undefined ? [] : [message('P', zero(name), zero(text), Buffer.alloc(2))]),
    message('B', zero(''), zero(name), Buffer.alloc(6)),
    message('E', zero(''), Buffer.alloc(4)),
    message('S'),
  ])

const startup = message('', Buffer.from([0, 3, 0, 0]), zero('user'), zero('somebody'), zero('')).subarray(0)
const done = (tag: string): Buffer => Buffer.concat([message('C', zero(tag)), message('Z', Buffer.from('T'))])

/** Fed byte by byte, so that every cut is tried. */
const fed = (read: (chunk: Buffer) => Frame[], bytes: Buffer): { events: string[]; passed: Buffer } => {
  const frames = [...bytes].flatMap((byte) => read(Buffer.from([byte])))
  return {
    events: frames.flatMap(({ event }) => (event === undefined ? [] : [event])),
    passed: Buffer.concat(frames.map((frame) => frame.bytes)),
  }
}

describe('Postgres', () => {
  const lock = 'select sequence from ledger_head for update'

  test('a batch: the head locked, COMMIT sent, COMMIT done; pipelined, each statement with its own sync', () => {
    const reader = new PostgresReader()
    const asked = Buffer.concat([
      startup,
      prepared('begin', 'begin'),
      prepared('lock', lock),
      prepared('rows', 'insert into rows select 1'),
      prepared('end', 'commit'),
    ])
    const sent = fed((chunk) => reader.fromClient(chunk), asked)
    expect(sent.events).toEqual([POSTGRES_EVENTS.commitSent])
    expect(sent.passed.equals(asked)).toBe(true)
    const answer = Buffer.concat([done('BEGIN'), done('SELECT 1'), done('INSERT 0 1'), done('COMMIT')])
    const answered = fed((chunk) => reader.fromServer(chunk), answer)
    expect(answered.events).toEqual([POSTGRES_EVENTS.headLocked, POSTGRES_EVENTS.commitDone])
    expect(answered.passed.equals(answer)).toBe(true)
  })

  test('a COMMIT that is answered by ROLLBACK was not done', () => {
    const reader = new PostgresReader()
    fed(
      (chunk) => reader.fromClient(chunk),
      Buffer.concat([startup, prepared('lock', lock), prepared('end', 'commit')]),
    )
    const error = Buffer.concat([message('E', zero('no')), message('Z', Buffer.from('E'))])
    const { events } = fed((chunk) => reader.fromServer(chunk), Buffer.concat([error, done('ROLLBACK')]))
    expect(events).toEqual([])
  })

  test("a COMMIT that doesn't end a batch is nobody's moment", () => {
    const reader = new PostgresReader()
    const asked = Buffer.concat([startup, message('Q', zero('begin')), message('Q', zero('commit'))])
    expect(fed((chunk) => reader.fromClient(chunk), asked).events).toEqual([])
  })
})

describe('Kafka', () => {
  const framed = (...parts: Buffer[]): Buffer => {
    const body = Buffer.concat(parts)
    const length = Buffer.alloc(4)
    length.writeInt32BE(body.length)
    return Buffer.concat([length, body])
  }
  const numbers = (...values: [number, 16 | 32 | 64][]): Buffer =>
    Buffer.concat(
      values.map(([value, bits]) => {
        const bytes = Buffer.alloc(bits / 8)
        if (bits === 16) bytes.writeInt16BE(value)
        else if (bits === 32) bytes.writeInt32BE(value)
        else bytes.writeBigInt64BE(BigInt(value))
        return bytes
      }),
    )
  const text = (value: string): Buffer => Buffer.concat([numbers([value.length, 16]), Buffer.from(value)])
  const request = (api: number, correlation: number, ...body: Buffer[]): Buffer =>
    framed(numbers([api, 16], [1, 16], [correlation, 32]), text('client'), ...body)
  const response = (correlation: number): Buffer => framed(numbers([correlation, 32]), Buffer.from('rest'))
  const end = (correlation: number, isCommit: boolean): Buffer =>
    request(26, correlation, text('publisher'), numbers([7, 64], [0, 16]), Buffer.from([isCommit ? 1 : 0]))

  test('a transaction: partitions, records and its end; the answers by their correlation', () => {
    const reader = new KafkaReader()
    const asked = Buffer.concat([request(24, 1), request(0, 2, text('publisher')), end(3, true)])
    const sent = fed((chunk) => reader.fromClient(chunk), asked)
    expect(sent.events).toEqual([KAFKA_EVENTS.partitionsSent, KAFKA_EVENTS.endSent])
    expect(sent.passed.equals(asked)).toBe(true)
    const answered = fed((chunk) => reader.fromServer(chunk), Buffer.concat([1, 2, 3].map(response)))
    expect(answered.events).toEqual([KAFKA_EVENTS.recordsDone, KAFKA_EVENTS.endDone])
  })

  test('neither an abort nor records outside of a transaction are moments', () => {
    const reader = new KafkaReader()
    const asked = Buffer.concat([request(0, 1, numbers([-1, 16])), end(2, false)])
    expect(fed((chunk) => reader.fromClient(chunk), asked).events).toEqual([])
    const answers = Buffer.concat([response(1), response(2)])
    expect(fed((chunk) => reader.fromServer(chunk), answers).events).toEqual([])
  })
})

describe('Redis', () => {
  const command = (...words: string[]): Buffer =>
    Buffer.from(`*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`)

  test('the script with the mark and a balance is the write of balances; a reader or a touch is not', () => {
    const reader = new RedisReader()
    const write = command(
      'evalsha',
      'abc',
      '4',
      'x:{x}:state',
      'x:{x}:fresh',
      'x:{x}:b:1-a:me',
      'x:{x}:l:1-a:me',
    )
    const touch = command('evalsha', 'abc', '2', 'x:{x}:state', 'x:{x}:fresh')
    const asked = Buffer.concat([command('GET', 'x:{x}:b:1-a:me'), touch, write, Buffer.from('PING\r\n')])
    const sent = fed((chunk) => reader.fromClient(chunk), asked)
    expect(sent.events).toEqual([REDIS_EVENTS.balancesSent])
    expect(sent.passed.equals(asked)).toBe(true)
  })
})
