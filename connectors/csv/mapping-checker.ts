/** Checks a JSON document key by key and collects everything that is wrong, each with its path, what was expected and what was found. */
import { readFile } from 'node:fs/promises'
import { ConfigurationError } from '#platform/errors.ts'

/** Collects complaints over all sections of one document. */
export class MappingChecker {
  readonly #complaints: string[] = []

  /** A section over `value`; anything but an object is complained about and read as an empty one. */
  section(value: unknown, path: string): Section {
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    if (!isObject) this.complain(path || 'the document', 'an object', value)
    return new Section(this, isObject ? (value as Record<string, unknown>) : {}, path)
  }

  complain(path: string, expected: string, found: unknown): void {
    this.add(
      `mapping ${path}: expected ${expected}, found ${found === undefined ? 'nothing' : JSON.stringify(found)}`,
    )
  }

  add(message: string): void {
    if (!this.#complaints.includes(message)) this.#complaints.push(message)
  }

  /** @throws ConfigurationError with one line a complaint, if there is any */
  finish(): void {
    if (this.#complaints.length > 0) throw new ConfigurationError(this.#complaints.join('\n'))
  }
}

interface TextOptions {
  readonly expected: string
  readonly pattern: RegExp
  readonly fallback?: string
}

/** One object of the document. Keys that nobody asked for are complained about by finish(). */
export class Section {
  readonly #checker: MappingChecker
  readonly #values: Record<string, unknown>
  readonly #path: string
  readonly #asked = new Set<string>()

  constructor(checker: MappingChecker, values: Record<string, unknown>, path: string) {
    this.#checker = checker
    this.#values = values
    this.#path = path
  }

  pathOf(key: string): string {
    return [this.#path, key].filter((part) => part !== '').join('.')
  }

  has(key: string): boolean {
    this.#asked.add(key)
    return Object.hasOwn(this.#values, key)
  }

  keys(): string[] {
    return Object.keys(this.#values)
  }

  complain(key: string, expected: string, found: unknown): void {
    this.#checker.complain(this.pathOf(key), expected, found)
  }

  /** Runs what may throw a ConfigurationError and collects its message instead. */
  attempt<T>(read: () => T): T | undefined {
    try {
      return read()
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error
      this.#checker.add(error.message)
      return undefined
    }
  }

  section(key: string): Section {
    return this.#checker.section(this.#value(key), this.pathOf(key))
  }

  optionalSection(key: string): Section {
    return this.#checker.section(this.#value(key) ?? {}, this.pathOf(key))
  }

  text(key: string, options: TextOptions): string {
    const value = this.#value(key) ?? options.fallback
    if (typeof value === 'string' && options.pattern.test(value)) return value
    this.complain(key, options.expected, value)
    return ''
  }

  oneOf<const T extends string>(key: string, allowed: readonly T[], fallback?: T): T {
    const value = this.#value(key) ?? fallback
    const found = allowed.find((candidate) => candidate === value)
    if (found !== undefined) return found
    this.complain(key, allowed.map((candidate) => JSON.stringify(candidate)).join(' or '), value)
    return allowed[0]!
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.#value(key) ?? fallback
    if (typeof value === 'boolean') return value
    this.complain(key, 'true or false', value)
    return fallback
  }

  integer(key: string, options: { min: number; max: number; fallback: number }): number {
    const value = this.#value(key) ?? options.fallback
    if (Number.isSafeInteger(value) && Number(value) >= options.min && Number(value) <= options.max) {
      return Number(value)
    }
    this.complain(key, `a whole number from ${options.min} to ${options.max}`, value)
    return options.fallback
  }

  /** A list of texts, or undefined where the key is absent or `true`. */
  optionalTexts(key: string): readonly string[] | undefined {
    const value = this.#value(key)
    if (value === undefined || value === true) return undefined
    if (Array.isArray(value) && value.length > 0 && value.every((part) => typeof part === 'string')) {
      return value
    }
    this.complain(key, 'true, or a list of column names', value)
    return undefined
  }

  /** Complains about keys that no one asked for: a misspelt option would be ignored otherwise. */
  finish(): void {
    for (const key of this.keys()) {
      if (!this.#asked.has(key) && key !== '$comment') this.complain(key, 'no such key', this.#values[key])
    }
  }

  #value(key: string): unknown {
    this.#asked.add(key)
    return Object.hasOwn(this.#values, key) ? this.#values[key] : undefined
  }
}

/** A mapping file's text. @throws ConfigurationError where it can't be read */
export async function readMappingText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    const { message } = error as Error
    throw new ConfigurationError(`mapping: expected a readable file, found ${path} (${message})`, {
      cause: error,
    })
  }
}

/** A mapping's JSON. @throws ConfigurationError */
export function mappingJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new ConfigurationError(`mapping: expected JSON, found: ${(error as Error).message}`, {
      cause: error,
    })
  }
}
