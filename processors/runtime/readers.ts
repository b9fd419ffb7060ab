/** A processor's reader: one at a time. One that was replaced may be late with a word, and must not touch what its successor has. */
import { OperatingError } from '#platform/errors.ts'
import type { IngestReader, ReaderHooks } from './processor-options.ts'

export class Readers {
  private readonly make: (hooks: ReaderHooks) => IngestReader
  private readonly hooks: ReaderHooks
  private current: IngestReader | null = null
  private isStopping = false

  constructor(make: (hooks: ReaderHooks) => IngestReader, hooks: ReaderHooks) {
    this.make = make
    this.hooks = hooks
  }

  get reader(): IngestReader | null {
    return this.current
  }

  /** Starts another one. @throws what starting throws; then there is none */
  async start(): Promise<void> {
    const isCurrent = (): boolean => this.current === reader
    const reader = this.make({
      claim: async (assignment, generation) => {
        if (isCurrent()) return await this.hooks.claim(assignment, generation)
        throw new OperatingError('processor_stopping', 'the reader was replaced')
      },
      release: async () => {
        if (isCurrent()) await this.hooks.release()
      },
      onIncident: (incident) => {
        if (isCurrent()) this.hooks.onIncident(incident)
      },
    })
    this.current = reader
    try {
      await reader.start()
      // Whoever asked for the end has not seen this one.
      if (this.isStopping) await reader.stop()
    } catch (error) {
      // One that could not start is of no further use, but may hold connections.
      this.current = null
      await reader.stop()
      throw error
    }
  }

  /** Stops the reader, which lets go of what it has. */
  async replace(): Promise<void> {
    // Kept until it has stopped: a stop of the whole must find it.
    await this.current?.stop()
    this.current = null
  }

  /** Stops the reader for good, and one that is just being started. */
  async stop(): Promise<void> {
    this.isStopping = true
    await this.current?.stop()
  }
}
