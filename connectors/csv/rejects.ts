/** The reject file: lines that could not be imported, each with its number, the reason and its text, as CSV. No card number gets into it. */

import { once } from 'node:events'
import { createWriteStream, type WriteStream } from 'node:fs'
import { finished } from 'node:stream/promises'
import { maskCardNumbers, maskCardNumbersInBytes } from '#domain/transactions/card-numbers.ts'
import { ConfigurationError } from '#platform/errors.ts'

export interface RejectedLine {
  readonly line: number
  readonly reason: string
  readonly text: string
  /** What the file holds, where the text isn't the same: it is written instead. */
  readonly bytes?: Buffer | undefined
}

/** Enough to find and repair a line; a whole broken file must not be copied. */
const TEXT_LENGTH_MAX = 4_096

/** The line as one row; bytes that are no text stay as they are (Latin-1 gives each byte a character, and back). */
function rowOf({ line, reason, text, bytes }: RejectedLine): Buffer {
  const encoding = bytes === undefined ? 'utf8' : 'latin1'
  const shown = bytes === undefined ? maskCardNumbers(text) : maskCardNumbersInBytes(bytes).toString(encoding)
  const quoted = shown.replace(/\r$/, '').slice(0, TEXT_LENGTH_MAX).replaceAll('"', '""')
  return Buffer.from(`${line},${reason},"${quoted}"\n`, encoding)
}

/** Counts rejects by reason, and writes them; the file is made with the first one. */
export class RejectWriter {
  readonly path: string
  readonly byReason = new Map<string, number>()
  #stream: WriteStream | undefined
  /** What writing failed with: it may come long after the line that was written. */
  #failure: Error | undefined
  #count = 0

  constructor(path: string) {
    this.path = path
  }

  get count(): number {
    return this.#count
  }

  /** @throws ConfigurationError where the file can't be written */
  async add(rejected: RejectedLine): Promise<void> {
    this.#count += 1
    this.byReason.set(rejected.reason, (this.byReason.get(rejected.reason) ?? 0) + 1)
    if (this.#failure !== undefined) throw this.#unwritable(this.#failure)
    this.#stream ??= await this.#open()
    if (!this.#stream.write(rowOf(rejected))) {
      await once(this.#stream, 'drain').catch((error: Error) => {
        throw this.#unwritable(error)
      })
    }
  }

  /** Once more does nothing. @throws ConfigurationError where not all of it could be written */
  async close(): Promise<void> {
    const stream = this.#stream
    if (stream === undefined) return
    this.#stream = undefined
    stream.end()
    await finished(stream).catch((error: Error) => {
      throw this.#unwritable(error)
    })
  }

  /** Gives the file up: what it failed with is told once. */
  #unwritable(cause: Error): ConfigurationError {
    this.#stream = undefined
    const found = `${this.path} (${cause.message})`
    return new ConfigurationError(`reject file: expected a writable path, found ${found}`, { cause })
  }

  async #open(): Promise<WriteStream> {
    const stream = createWriteStream(this.path)
    try {
      await once(stream, 'open')
    } catch (error) {
      throw this.#unwritable(error as Error)
    }
    // Without a listener a full disk would end the process.
    stream.on('error', (error) => {
      this.#failure ??= error
    })
    stream.write('line,reason,text\n')
    return stream
  }
}
