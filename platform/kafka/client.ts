/** Makes the Kafka client from configuration: addresses, TLS, SASL, time limits, retries and logging. */

import type * as KafkaClient from 'kafkajs'
import type { KafkaConfiguration, KafkaLogin } from '#platform/config/configuration.ts'
import { ConfigurationError } from '#platform/errors.ts'
import { kafkajs } from './kafkajs-cures.ts'
import { makeMskTokenSource } from './msk-iam.ts'

/** The client that the rest of the platform passes around; only platform/kafka knows what it is. */
export type Kafka = KafkaClient.Kafka

/** What is needed of a pino logger. */
export interface KafkaLogger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface KafkaOptions {
  /** Shown in the brokers' logs and quotas. */
  clientId: string
  /** Without one the client is silent. */
  logger?: KafkaLogger
  connectionTimeoutMs?: number
  requestTimeoutMs?: number
  authenticationTimeoutMs?: number
}

/**
 * Short first waits because CONCURRENT_TRANSACTIONS comes on nearly every next transaction of a producer (the client's
 * default of 300 ms makes 3 transactions a second, this 50 and more); many of them because a broker restart takes seconds:
 * together about 12 s before an error is raised.
 */
export const RETRY = { initialRetryTime: 5, multiplier: 1.5, factor: 0.2, maxRetryTime: 500, retries: 30 }

/**
 * Makes a client; nothing is connected yet.
 * @throws ConfigurationError where addresses or credentials are missing
 */
export function makeKafka(configuration: KafkaConfiguration, options: KafkaOptions): Kafka {
  const { brokers, ssl, sslCa, login } = configuration
  const malformed = brokers.find((broker) => !/^.+:\d{1,5}$/.test(broker))
  if (brokers.length === 0) throw new ConfigurationError('expected at least one Kafka broker, found none')
  if (malformed !== undefined) {
    throw new ConfigurationError(`expected Kafka brokers as host:port, found "${malformed}"`)
  }
  const { clientId, logger } = options
  return new kafkajs.Kafka({
    brokers: [...brokers],
    clientId,
    connectionTimeout: options.connectionTimeoutMs ?? 3_000,
    requestTimeout: options.requestTimeoutMs ?? 10_000,
    authenticationTimeout: options.authenticationTimeoutMs ?? 10_000,
    retry: { ...RETRY },
    logLevel: logger ? kafkajs.logLevel.INFO : kafkajs.logLevel.NOTHING,
    ...(logger ? { logCreator: logCreatorFor(logger) } : {}),
    ...(ssl ? { ssl: sslCa === undefined ? true : { ca: [sslCa] } } : {}),
    ...(login ? { sasl: saslOptions(login) } : {}),
  })
}

/** The client's own form of the login. Exported for its test. */
export function saslOptions(
  login: KafkaLogin,
  tokenSource: typeof makeMskTokenSource = makeMskTokenSource,
): KafkaClient.SASLOptions {
  if (login.mechanism === 'aws-msk-iam') {
    if (!login.region) throw new ConfigurationError('expected a region for MSK IAM, found none')
    return { mechanism: 'oauthbearer', oauthBearerProvider: tokenSource({ region: login.region }) }
  }
  const { mechanism, username, password } = login
  if (!username || !password) {
    throw new ConfigurationError(
      `expected user name and password for SASL ${mechanism}, found one of them empty`,
    )
  }
  return { mechanism, username, password } as KafkaClient.SASLOptions
}

/**
 * Routine of a healthy client that it reports as errors, warnings or at info: kept at debug so that real errors can be seen.
 * Every single attempt's answer is reported ("Response …"); what counts is the error after the last one.
 */
const ROUTINE =
  /CONCURRENT_TRANSACTIONS|another concurrent operation|^Response |Pausing fetching|Resuming fetching|Limiting retries for the idempotent/

/**
 * A member that the coordinator has forgotten (a broker that was restarted, a machine that was busy) joins again by itself: the
 * client calls that an error, but nothing is lost and nothing is to be done.
 */
const REJOINING = /^The coordinator is not aware of this member/

/** A broker that is away is reported on each attempt, several a second: the same words once in this time are enough. */
const REPEAT_AFTER_MS = 5_000
const REMEMBERED_MESSAGES_MAX = 100

/** The client's log entries to a pino-like logger. Exported for its test. */
export function logCreatorFor(logger: KafkaLogger, nowMs: () => number = Date.now): KafkaClient.logCreator {
  const loggedAtMs = new Map<string, number>()
  const isRepeated = (message: string): boolean => {
    const now = nowMs()
    const before = loggedAtMs.get(message)
    if (before !== undefined && now - before < REPEAT_AFTER_MS) return true
    if (loggedAtMs.size >= REMEMBERED_MESSAGES_MAX) loggedAtMs.clear()
    loggedAtMs.set(message, now)
    return false
  }
  return () =>
    ({ namespace, level, log }) => {
      const { message, timestamp: _timestamp, logger: _logger, ...fields } = log
      const entry = { ...fields, namespace }
      if (level === kafkajs.logLevel.DEBUG || ROUTINE.test(message) || isRepeated(message))
        logger.debug(entry, message)
      else if (level === kafkajs.logLevel.ERROR && !REJOINING.test(message)) logger.error(entry, message)
      else if (level === kafkajs.logLevel.WARN || level === kafkajs.logLevel.ERROR)
        logger.warn(entry, message)
      else logger.info(entry, message)
    }
}
