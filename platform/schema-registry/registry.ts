/**
 * The schema registry (Confluent API v7), as the serializers need it: register and look up, bounded in time, cached.
 *
 * The one distinction that matters: "this id doesn't exist" is final (the record is poison), "the registry didn't answer" is
 * not (the engine waits). A 404 alone doesn't prove the first: a wrong base path answers 404 to everything.
 */
import { readFileSync } from 'node:fs'
import { Agent } from 'node:https'
import registryClient from '@kafkajs/confluent-schema-registry'
import { ConfigurationError, OperatingError, UnreachableError } from '#platform/errors.ts'

/** A parsed .avsc file. */
export type AvroSchemaObject = Record<string, unknown>

export interface SchemaRegistryOptions {
  /** Base address of the API, for example http://127.0.0.1:8081 or …/apis/ccompat/v7. */
  url: string
  username?: string | undefined
  password?: string | undefined
  /** Certificate authority as PEM text; the system's where absent. */
  sslCa?: string | undefined
  requestTimeoutMs?: number
  /** How long an id stays unknown before the registry is asked again. */
  unknownForMs?: number
  nowMs?: () => number
}

/** Unknown ids are remembered so that a flood of poison doesn't become a flood of requests; bounded, oldest out first. */
const UNKNOWN_IDS_MAX = 10_000
/** A second look before the verdict, since a registry of several nodes may learn of a new schema a moment later. */
const SECOND_LOOK_AFTER_MS = 300
/** A flood of unknown ids must not become one of requests at the same time. */
const LOOKUPS_AT_ONCE_MAX = 16
/** For so long an answer proves that a registry is there: each unknown id asks for that. */
const PING_GOOD_FOR_MS = 1_000

interface Answer<T> {
  data(): T
}
interface Api {
  Subject: {
    all(): Promise<unknown>
    registered(parameters: { subject: string; body: object }): Promise<Answer<{ id: number }>>
    config(parameters: { subject: string }): Promise<Answer<{ compatibilityLevel?: string }>>
  }
}

/** How a subject stands: whether the schema is one of its versions, and its own compatibility rule (null = none of its own). */
export interface SubjectState {
  readonly id: number | null
  readonly compatibility: string | null
}

export class SchemaRegistry {
  readonly #client: InstanceType<typeof registryClient.SchemaRegistry>
  readonly #timeoutMs: number
  readonly #unknownForMs: number
  readonly #nowMs: () => number
  readonly #schemas = new Map<number, AvroSchemaObject>()
  readonly #unknown = new Map<number, number>()
  readonly #lookups = new Map<number, Promise<AvroSchemaObject>>()
  #lookingUp = 0
  readonly #waiting: (() => void)[] = []
  #lastPing: { readonly at: number; readonly answer: Promise<void> } | null = null
  readonly #url: string

  constructor(options: SchemaRegistryOptions) {
    const { username, password, sslCa } = options
    this.#url = options.url.replace(/\/+$/, '')
    if (!/^https?:\/\/./.test(this.#url)) {
      throw new ConfigurationError(`expected the registry as http(s)://…, found "${options.url}"`)
    }
    this.#timeoutMs = options.requestTimeoutMs ?? 10_000
    this.#unknownForMs = options.unknownForMs ?? 60_000
    this.#nowMs = options.nowMs ?? Date.now
    this.#client = new registryClient.SchemaRegistry({
      host: this.#url,
      clientId: 'tallystream',
      retry: { retries: 3, initialRetryTimeInSecs: 0.1, maxRetryTimeInSecs: 1, factor: 0.2, multiplier: 2 },
      ...(username ? { auth: { username, password: password ?? '' } } : {}),
      ...(sslCa ? { agent: new Agent({ ca: sslCa, keepAlive: true }) } : {}),
    })
  }

  /**
   * Registers a schema under a subject and returns its id; the same schema again gives the same id. A new subject's rule is
   * set to BACKWARD (registries default to less, Apicurio to nothing at all).
   * @throws OperatingError `schema_incompatible` where the rule refuses it or the subject's rule is another one,
   * `registry_unreachable` where nobody answers
   */
  async register(subject: string, schema: AvroSchemaObject): Promise<number> {
    const confluentSchema = { type: registryClient.SchemaType.AVRO as const, schema: JSON.stringify(schema) }
    try {
      const { id } = await this.#within(
        this.#client.register(confluentSchema as never, { subject }),
        'registering',
      )
      this.#schemas.set(id, schema)
      this.#unknown.delete(id)
      return id
    } catch (error) {
      const { status, name } = error as { status?: number; name?: string }
      if (status === 409 || status === 422 || name === 'ConfluentSchemaRegistryCompatibilityError') {
        const message = `the schema can't be registered under ${subject}: ${(error as Error).message}`
        throw new OperatingError('schema_incompatible', message, { cause: error })
      }
      throw this.#unreachable(error, `registering ${subject}`)
    }
  }

  /** The writer's schema if it is known already, without a request. */
  cachedSchema(id: number): AvroSchemaObject | undefined {
    return this.#schemas.get(id)
  }

  /**
   * The schema of an id.
   * @throws OperatingError `schema_unknown` (final) where the registry answers that there is none, `registry_unreachable`
   * (retriable) where it doesn't answer or something else answers in its place
   */
  async schema(id: number): Promise<AvroSchemaObject> {
    const known = this.#schemas.get(id)
    if (known !== undefined) return known
    const unknownUntil = this.#unknown.get(id)
    if (unknownUntil !== undefined && this.#nowMs() < unknownUntil) throw unknown(id)
    let lookup = this.#lookups.get(id)
    if (lookup === undefined) {
      lookup = this.#lookUp(id).finally(() => this.#lookups.delete(id))
      this.#lookups.set(id, lookup)
    }
    return await lookup
  }

  /**
   * Looks whether a schema is registered under a subject, and by which rule; changes nothing.
   * @throws UnreachableError `registry_unreachable`
   */
  async subjectState(subject: string, schema: AvroSchemaObject): Promise<SubjectState> {
    const { Subject } = (this.#client as unknown as { api: Api }).api
    const body = { schemaType: 'AVRO', schema: JSON.stringify(schema) }
    const found = await this.#orNull(Subject.registered({ subject, body }), `looking for ${subject}`)
    const rule = await this.#orNull(Subject.config({ subject }), `asking for the rule of ${subject}`)
    return { id: found?.data().id ?? null, compatibility: rule?.data().compatibilityLevel ?? null }
  }

  /** Null where a registry answers that there is none. */
  async #orNull<T>(request: Promise<T>, doing: string): Promise<T | null> {
    try {
      return await this.#within(request, doing)
    } catch (error) {
      if ((error as { status?: number }).status !== 404) throw this.#unreachable(error, doing)
      // Something that answers 404 to everything isn't a registry.
      await this.#pingShared()
      return null
    }
  }

  /** Asks for the list of subjects: proves that a registry answers. @throws UnreachableError `registry_unreachable` */
  async ping(): Promise<void> {
    try {
      await this.#within(
        (this.#client as unknown as { api: Api }).api.Subject.all(),
        'asking for the subjects',
      )
    } catch (error) {
      throw this.#unreachable(error, 'asking for the subjects')
    }
  }

  async #lookUp(id: number): Promise<AvroSchemaObject> {
    for (let attempt = 1; ; attempt++) {
      try {
        const type = await this.#inTurn(() => this.#within(this.#client.getSchema(id), `schema ${id}`))
        const schema = rawSchema(type)
        this.#schemas.set(id, schema)
        return schema
      } catch (error) {
        if ((error as { status?: number }).status !== 404) throw this.#unreachable(error, `schema ${id}`)
        // Something that answers 404 to everything isn't a registry.
        await this.#pingShared()
        if (attempt === 2) break
        await new Promise((resolve) => setTimeout(resolve, SECOND_LOOK_AFTER_MS))
      }
    }
    const oldest = this.#unknown.keys().next()
    if (this.#unknown.size >= UNKNOWN_IDS_MAX && !oldest.done) this.#unknown.delete(oldest.value)
    this.#unknown.set(id, this.#nowMs() + this.#unknownForMs)
    throw unknown(id)
  }

  /** Runs one of a bounded number at a time. */
  async #inTurn<T>(run: () => Promise<T>): Promise<T> {
    if (this.#lookingUp >= LOOKUPS_AT_ONCE_MAX)
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#lookingUp += 1
    try {
      return await run()
    } finally {
      const next = this.#waiting.shift()
      // Whoever waited takes this place over.
      if (next === undefined) this.#lookingUp -= 1
      else next()
    }
  }

  /** One proof that a registry answers serves all that ask within a second. */
  #pingShared(): Promise<void> {
    const now = this.#nowMs()
    if (this.#lastPing === null || now - this.#lastPing.at > PING_GOOD_FOR_MS) {
      const answer = this.ping()
      this.#lastPing = { at: now, answer }
      // One that failed proves nothing for the next.
      answer.catch(() => {
        this.#lastPing = null
      })
    }
    return this.#lastPing.answer
  }

  #unreachable(error: unknown, doing: string): OperatingError {
    if (error instanceof OperatingError) return error
    const reason = error instanceof Error ? error.message : String(error)
    return new UnreachableError('registry', `${doing} at ${this.#url}: ${reason}`, { cause: error })
  }

  async #within<T>(promise: Promise<T>, doing: string): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const timeout = new Promise<never>((_resolve, reject) => {
      const message = `${doing} at ${this.#url}: no answer within ${this.#timeoutMs} ms`
      timer = setTimeout(() => reject(new UnreachableError('registry', message)), this.#timeoutMs)
    })
    try {
      return await Promise.race([promise, timeout])
    } finally {
      clearTimeout(timer)
      promise.catch(() => undefined)
    }
  }
}

/** Reads and parses an .avsc file. @throws ConfigurationError where it isn't there or isn't JSON */
export function readSchemaFile(path: string | URL): AvroSchemaObject {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as AvroSchemaObject
  } catch (error) {
    throw new ConfigurationError(`expected an Avro schema in ${path}: ${(error as Error).message}`, {
      cause: error,
    })
  }
}

function unknown(id: number): OperatingError {
  return new OperatingError('schema_unknown', `the registry has no schema with id ${id}`)
}

/** The client parses schemas with its own settings (longs as numbers); what we need is the text, to parse it with ours. */
function rawSchema(type: unknown): AvroSchemaObject {
  const avroType = type as { schema?: (options: { exportAttrs: boolean }) => unknown }
  if (typeof avroType.schema !== 'function') {
    throw new OperatingError('schema_incompatible', 'the schema is not an Avro schema')
  }
  const exported = avroType.schema({ exportAttrs: true })
  return (typeof exported === 'string' ? { type: exported } : exported) as AvroSchemaObject
}
