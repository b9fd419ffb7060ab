/** Settings of the client: logins, tokens, logging, and the partitioner's agreement with the Java client's. */
import { createRequire } from 'node:module'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { logCreatorFor, makeKafka, saslOptions } from './client.ts'
import { asOperatingError, isFenced, isTooLarge, within } from './client-errors.ts'
import { kafkajs } from './kafkajs-cures.ts'
import { makeMskTokenSource } from './msk-iam.ts'
import { murmur2 } from './partitioner.ts'

const require = createRequire(import.meta.url)
const connection = { brokers: ['127.0.0.1:9092'], ssl: false, sslCa: undefined, login: undefined }

describe('configuration', () => {
  it.each([[[]], [['localhost']], [['a:9092', 'b']]])('refuses brokers %j', (brokers) => {
    expect(() => makeKafka({ ...connection, brokers }, { clientId: 'c' })).toThrow(/expected/)
  })

  it.each(['plain', 'scram-sha-256', 'scram-sha-512'] as const)('passes %s logins on', (mechanism) => {
    expect(saslOptions({ mechanism, username: 'u', password: 'p' })).toEqual({
      mechanism,
      username: 'u',
      password: 'p',
    })
    expect(() => saslOptions({ mechanism, username: 'u', password: '' })).toThrow(/password/)
  })

  it('makes MSK IAM an OAUTHBEARER login with the signed token', async () => {
    const regions: string[] = []
    const sasl = saslOptions({ mechanism: 'aws-msk-iam', region: 'eu-west-1' }, ({ region }) => {
      regions.push(region)
      return async () => ({ value: 'signed' })
    })
    expect(sasl.mechanism).toBe('oauthbearer')
    expect(regions).toEqual(['eu-west-1'])
    const { oauthBearerProvider } = sasl as { oauthBearerProvider: () => Promise<{ value: string }> }
    expect(await oauthBearerProvider()).toEqual({ value: 'signed' })
  })
})

describe('MSK tokens', () => {
  function tokens(lifetimeMs = 900_000) {
    const state = { nowMs: 0, signed: 0, failing: false }
    const source = makeMskTokenSource({
      region: 'r',
      nowMs: () => state.nowMs,
      signTimeoutMs: 50,
      sign: async () => {
        if (state.failing) throw new Error('no credentials')
        state.signed++
        return { token: `token ${state.signed}`, expiryTime: state.nowMs + lifetimeMs }
      },
    })
    return { state, source }
  }

  it('are kept until shortly before their end', async () => {
    const { state, source } = tokens()
    expect(await source()).toEqual({ value: 'token 1' })
    state.nowMs = 839_999
    expect(await source()).toEqual({ value: 'token 1' })
    state.nowMs = 840_000
    expect(await source()).toEqual({ value: 'token 2' })
  })

  it('are signed once for connections opened together', async () => {
    const { state, source } = tokens()
    await Promise.all([source(), source(), source()])
    expect(state.signed).toBe(1)
  })

  it('failing is retriable, and the next attempt signs again', async () => {
    const { state, source } = tokens()
    state.failing = true
    await expect(source()).rejects.toMatchObject({ code: 'kafka_token_unavailable', retriable: true })
    state.failing = false
    expect(await source()).toEqual({ value: 'token 1' })
  })

  it('that never come are given up', async () => {
    const source = makeMskTokenSource({
      region: 'r',
      signTimeoutMs: 20,
      sign: () => new Promise(() => undefined),
    })
    await expect(source()).rejects.toMatchObject({ code: 'kafka_token_unavailable' })
  })
})

describe('logging', () => {
  function logged(level: number, message: string, fields: object = {}): string[] {
    const lines: string[] = []
    const note = (name: string) => (_fields: object, text: string) => void lines.push(`${name}: ${text}`)
    const logger = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') }
    const log = { message, timestamp: '', logger: 'kafkajs', ...fields }
    logCreatorFor(logger)(level)({ namespace: 'n', level, label: '', log })
    return lines
  }

  it('keeps routine at debug and lets real errors through', () => {
    const { ERROR, INFO, WARN } = kafkajs.logLevel
    expect(logged(ERROR, 'Response AddPartitionsToTxn(key: 24, version: 1)')).toEqual([
      'debug: Response AddPartitionsToTxn(key: 24, version: 1)',
    ])
    const concurrent =
      'Failed to send messages: … while another concurrent operation on the same transaction was ongoing'
    expect(logged(ERROR, concurrent)).toEqual([`debug: ${concurrent}`])
    expect(logged(ERROR, 'Crash: x')).toEqual(['error: Crash: x'])
    expect(logged(WARN, 'w')).toEqual(['warn: w'])
    expect(logged(INFO, 'i')).toEqual(['info: i'])
  })

  it('a member that joins its group again is a warning', () => {
    const message = 'The coordinator is not aware of this member, re-joining the group'
    expect(logged(kafkajs.logLevel.ERROR, message)).toEqual([`warn: ${message}`])
  })

  it('says the same thing once in five seconds', () => {
    let nowMs = 0
    const errors: string[] = []
    const quiet = () => undefined
    const logger = {
      debug: quiet,
      info: quiet,
      warn: quiet,
      error: (_: object, text: string) => void errors.push(text),
    }
    const write = logCreatorFor(logger, () => nowMs)(kafkajs.logLevel.INFO)
    const away = () => {
      const log = { message: 'Connection error', timestamp: '', logger: 'kafkajs' }
      write({ namespace: 'n', level: kafkajs.logLevel.ERROR, label: '', log })
    }
    away()
    nowMs = 4_999
    away()
    expect(errors).toHaveLength(1)
    nowMs = 5_000
    away()
    expect(errors).toHaveLength(2)
  })
})

describe('errors', () => {
  const protocolError = (type: string, retriable = false): Error =>
    Object.assign(new Error(type), { type, retriable, name: 'KafkaJSProtocolError' })
  const wrapped = (cause: Error): Error => new Error('outer', { cause: new Error('inner', { cause }) })

  it('are told apart through the wrapping', () => {
    expect(isFenced(wrapped(protocolError('INVALID_PRODUCER_EPOCH')))).toBe(true)
    expect(isFenced(wrapped(protocolError('REQUEST_TIMED_OUT')))).toBe(false)
    expect(isTooLarge(wrapped(protocolError('MESSAGE_TOO_LARGE')))).toBe(true)
    expect(asOperatingError(wrapped(protocolError('X', true)), 'd')).toMatchObject({
      code: 'kafka_refused',
      retriable: true,
    })
    expect(asOperatingError(new Error('ECONNREFUSED'), 'd')).toMatchObject({
      code: 'kafka_unreachable',
      retriable: true,
    })
  })

  it('a promise that never ends is given up', async () => {
    await expect(within(new Promise(() => undefined), 10, 'x')).rejects.toMatchObject({
      code: 'kafka_unreachable',
    })
  })
})

describe('partitioner', () => {
  it('hashes as the Java client', () => {
    const theirs = require('kafkajs/src/producer/partitioners/default/murmur2') as (key: Buffer) => number
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        expect(murmur2(bytes)).toBe(theirs(Buffer.from(bytes)))
      }),
    )
  })
})
