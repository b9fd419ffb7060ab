/** The reject file: lines that could not be imported, each with its number, the reason and its text, as CSV. No card number gets into it. */

import { once } from 'node:events'
import { createWriteStream, type WriteStream } from 'node:fs'
import { finished } from 'node:stream/promises'
import { maskCardNumbers } from '#domain/transactions/card-numbers.ts'
import { ConfigurationError } from '#platform/errors.ts'

export interface RejectedLine {
  readonly line: number
  readonly reason: string
  readonly text: string
}

/** Enough to find and repair a line; a whole broken file must not be copied. */
const TEXT_LENGTH_MAX = 4_096

/** Counts rejects by reason, and writes them; the file is made with the first one. */
export class RejectWriter {
  readonly path: string
  readonly byReason = new Map<string, number>()
  #stream: WriteStream | undefined
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
    this.#stream ??= await this.#open()
    const text = maskCardNumbers(rejected.text).slice(0, TEXT_LENGTH_MAX)
    if (!this.#stream.write(`${rejected.line},${rejected.reason},"${text.replaceAll('"', '""')}"\n`)) {
      await once(this.#stream, 'drain')
    }
  }

  async close(): Promise<void> {
    if (this.#stream === undefined) return
    this.#stream.end()
    await finished(this.#stream)
  }

  async #open(): Promise<WriteStream> {
    const stream = createWriteStream(this.path)
    try {
      await once(stream, 'open')
    } catch (error) {
      throw new ConfigurationError(
        `reject file: expected a writable path, found ${this.path} (${(error as Error).message})`,
        { cause: error },
      )
    }
    stream.write('line,reason,text\n')
    return stream
  }
}
