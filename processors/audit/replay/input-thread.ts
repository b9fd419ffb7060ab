/** The other side of a thread that puts inputs together: reading and decoding there, deciding here. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { OperatingError } from '#platform/errors.ts'
import type { AssembledBatch, BatchOrder, InputSource, RecordProblem } from './assembler.ts'
import { type PackedInputs, Packer, transferOf, Unpacker } from './input-codec.ts'

/** What the thread answers, in the order asked. */
export type InputAnswer =
  | { readonly packed: PackedInputs; readonly problems: RecordProblem[] }
  | { readonly error: { readonly code: string; readonly message: string; readonly retriable: boolean } }

interface Waiting {
  resolve(batch: AssembledBatch): void
  reject(error: Error): void
}

/** Far above what a few fetches of each partition need; a bound makes garbage go in time. */
const HEAP_LIMITS = { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 16 }
const CLOSE_TIMEOUT_MS = 5_000

/** Inputs from a thread that runs `serveInputs`. */
export class InputThread implements InputSource {
  private readonly worker: Worker
  private readonly unpacker = new Unpacker()
  private readonly waiting: Waiting[] = []
  private failure: Error | null = null

  /** @param entry the thread's module; @param data what it is given */
  constructor(entry: URL, data: unknown) {
    this.worker = new Worker(entry, { workerData: data, resourceLimits: HEAP_LIMITS })
    this.worker.on('message', (answer: InputAnswer) => this.answered(answer))
    this.worker.on('error', (error) => this.fail(error instanceof Error ? error : new Error(String(error))))
    this.worker.on('exit', () => this.fail(new Error('the thread that reads records has ended')))
  }

  inputsOf({ cluster, sources, order, skips, jumps = [] }: BatchOrder): Promise<AssembledBatch> {
    return new Promise((resolve, reject) => {
      if (this.failure !== null) {
        reject(this.failure)
        return
      }
      this.waiting.push({ resolve, reject })
      this.worker.postMessage({ cluster, sources, order, skips, jumps } satisfies BatchOrder)
    })
  }

  async close(): Promise<void> {
    const ended = once(this.worker, 'exit')
    this.worker.postMessage(null)
    const timer = setTimeout(() => void this.worker.terminate(), CLOSE_TIMEOUT_MS)
    await ended
    clearTimeout(timer)
  }

  private answered(answer: InputAnswer): void {
    const { resolve, reject } = this.waiting.shift()!
    if ('error' in answer) {
      const { code, message, retriable } = answer.error
      reject(new OperatingError(code, message, { retriable }))
      return
    }
    resolve({ inputs: this.unpacker.unpack(answer.packed), problems: answer.problems })
  }

  private fail(error: Error): void {
    this.failure ??= error
    for (const { reject } of this.waiting.splice(0)) reject(this.failure)
  }
}

/** The thread's end of the channel (parentPort). */
export interface InputChannel {
  on(event: 'message', listener: (order: BatchOrder | null) => void): unknown
  postMessage(answer: InputAnswer, transfer?: ArrayBuffer[]): void
  close(): void
}

/** Answers what an InputThread asks, until it is closed. Runs in the thread. */
export const serveInputs = (channel: InputChannel, opening: Promise<InputSource>): void => {
  const packer = new Packer()
  // Its failure is the answer to whatever is asked.
  opening.catch(() => undefined)
  let turn = Promise.resolve()
  const answer = async (order: BatchOrder): Promise<void> => {
    try {
      const { inputs: found, problems } = await (await opening).inputsOf(order)
      const packed = packer.pack(found)
      channel.postMessage({ packed, problems }, transferOf(packed))
    } catch (error) {
      channel.postMessage({ error: plainError(error) })
    }
  }
  channel.on('message', (order) => {
    turn = turn.then(async () => {
      if (order !== null) return answer(order)
      await opening.then(
        (inputs) => inputs.close(),
        () => undefined,
      )
      channel.close()
    })
  })
}

const plainError = (error: unknown): { code: string; message: string; retriable: boolean } => {
  if (error instanceof OperatingError) {
    return { code: error.code, message: error.message, retriable: error.retriable }
  }
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return { code: 'unexpected', message, retriable: false }
}
