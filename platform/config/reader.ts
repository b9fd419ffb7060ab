/** Reads single values out of the environment and gathers every complaint, so that one start shows all that is wrong. */
import { readFileSync } from 'node:fs'
import type { Environment } from '#platform/config/environment.ts'
import { ConfigurationError } from '#platform/errors.ts'

/** A reader over one environment. Every method returns a usable value even after a complaint; `finish` then throws. */
export class ConfigurationReader {
  readonly #environment: Environment
  readonly #problems: string[] = []

  constructor(environment: Environment) {
    this.#environment = environment
  }

  /** Notes that a key (or a relation between keys) isn't as expected. */
  complain(keys: string, expected: string, actual: string): void {
    this.#problems.push(`${keys}: expected ${expected}, got ${actual}`)
  }

  /** The value, or undefined when it is absent or empty. */
  optional(key: string): string | undefined {
    const value = this.#environment[key]
    return value === undefined || value === '' ? undefined : value
  }

  text(key: string, options: { fallback: string; pattern: RegExp; expected: string }): string {
    const value = this.optional(key) ?? options.fallback
    if (!options.pattern.test(value)) this.complain(key, options.expected, JSON.stringify(value))
    return value
  }

  integer(key: string, options: { fallback: number; min: number; max: number }): number {
    const text = this.optional(key)
    if (text === undefined) return options.fallback
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
    if (value >= options.min && value <= options.max) return value
    this.complain(key, `a whole number from ${options.min} to ${options.max}`, JSON.stringify(text))
    return options.fallback
  }

  boolean(key: string, fallback: boolean): boolean {
    const text = this.optional(key)
    if (text === undefined) return fallback
    if (text !== 'true' && text !== 'false') this.complain(key, 'true or false', JSON.stringify(text))
    return text === 'true'
  }

  oneOf<Choice extends string>(key: string, choices: readonly Choice[]): Choice | undefined {
    const text = this.optional(key)
    const choice = choices.find((candidate) => candidate === text)
    if (text !== undefined && choice === undefined) {
      this.complain(key, `one of ${choices.join(', ')}`, JSON.stringify(text))
    }
    return choice
  }

  /** A URL of one of these schemes, from the environment or else `fallback`. Complaints never show what could be a password. */
  url(key: string, options: { schemes: readonly string[]; fallback: string | undefined }): string {
    const value = this.optional(key) ?? options.fallback
    if (value === undefined) {
      this.complain(key, 'a URL, or a running local stack (npx tallystream stack up)', 'neither')
      return ''
    }
    const parsed = URL.canParse(value) ? new URL(value) : undefined
    const scheme = parsed?.protocol.replace(':', '') ?? ''
    if (!options.schemes.includes(scheme) || parsed?.hostname === '') {
      const expected = `a URL starting with ${options.schemes.map((name) => `${name}://`).join(' or ')}`
      this.complain(key, expected, parsed === undefined ? 'something else' : `${scheme}://…`)
    }
    return value
  }

  /** The text of the file that a key names, for certificates (PEM). */
  certificateFile(key: string): string | undefined {
    const file = this.optional(key)
    if (file === undefined) return undefined
    try {
      const text = readFileSync(file, 'utf8')
      if (!text.includes('-----BEGIN CERTIFICATE-----')) this.complain(key, 'a PEM certificate file', file)
      return text
    } catch (error) {
      this.complain(
        key,
        'a readable PEM certificate file',
        `${file} (${(error as NodeJS.ErrnoException).code})`,
      )
      return undefined
    }
  }

  /** Throws a ConfigurationError that lists every complaint. */
  finish(): void {
    if (this.#problems.length === 0) return
    throw new ConfigurationError(
      `Configuration is not usable:\n${this.#problems.map((line) => `  ${line}`).join('\n')}`,
    )
  }
}
