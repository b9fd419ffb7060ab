/**
 * Follows a Redis connection far enough to name the publisher's write of balances: a script with the freshness mark and at least one
 * balance among its keys. Format: RESP arrays of bulk strings (Redis documentation, "RESP protocol specification").
 */
import type { Frame, ProtocolReader } from './tcp-proxy.ts'

export const REDIS_EVENTS = { balancesSent: 'balances sent' } as const

export class RedisReader implements ProtocolReader {
  #rest: Buffer = Buffer.alloc(0)

  fromClient(chunk: Buffer): Frame[] {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const frames: Frame[] = []
    let from = 0
    for (;;) {
      const command = commandAt(bytes, from)
      if (command === undefined) break
      frames.push({ bytes: bytes.subarray(from, command.end), event: eventOf(command.words) })
      from = command.end
    }
    this.#rest = bytes.subarray(from)
    return frames
  }

  fromServer(bytes: Buffer): Frame[] {
    return [{ bytes }]
  }
}

const eventOf = (words: readonly string[]): string | undefined => {
  const isScript = /^eval(sha)?$/i.test(words[0] ?? '')
  const isWrite =
    isScript && words.some((word) => word.endsWith('}:fresh')) && words.some((word) => word.includes('}:b:'))
  return isWrite ? REDIS_EVENTS.balancesSent : undefined
}

/** The command that begins here, where all of it has arrived. */
const commandAt = (bytes: Buffer, start: number): { words: string[]; end: number } | undefined => {
  const head = lineAt(bytes, start)
  if (head === undefined) return undefined
  if (!head.text.startsWith('*')) return { words: [head.text], end: head.end }
  const words: string[] = []
  let at = head.end
  for (let left = Number(head.text.slice(1)); left > 0; left -= 1) {
    const size = lineAt(bytes, at)
    if (size === undefined) return undefined
    const length = Number(size.text.slice(1))
    const end = size.end + length + 2
    if (end > bytes.length) return undefined
    words.push(bytes.toString('latin1', size.end, size.end + length))
    at = end
  }
  return { words, end: at }
}

const lineAt = (bytes: Buffer, start: number): { text: string; end: number } | undefined => {
  const end = bytes.indexOf('\r\n', start)
  return end < 0 ? undefined : { text: bytes.toString('latin1', start, end), end: end + 2 }
}
