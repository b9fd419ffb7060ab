/**
 * Follows a Postgres connection (protocol 3, unencrypted) far enough to name four moments of a transaction that holds the ledger's
 * head: the head was locked, COMMIT is on its way, COMMIT was done. Format: PostgreSQL documentation, "Message Formats".
 */
import type { Frame, ProtocolReader } from './tcp-proxy.ts'

/** `commit done` stands on the server's CommandComplete, so it says that the transaction did take place. */
export const POSTGRES_EVENTS = {
  headLocked: 'head locked',
  commitSent: 'commit sent',
  commitDone: 'commit done',
} as const

type Statement = 'lock head' | 'commit' | 'rollback' | 'other'
const SYNC = Symbol('sync')

const kindOf = (text: string): Statement => {
  if (/\bledger_head\b[\s\S]*\bfor update\b/i.test(text)) return 'lock head'
  if (/^\s*commit\b/i.test(text)) return 'commit'
  if (/^\s*rollback\b/i.test(text)) return 'rollback'
  return 'other'
}

const LENGTH_BYTES = 4

export class PostgresReader implements ProtocolReader {
  readonly #client = new MessageCutter({ hasType: false })
  readonly #server = new MessageCutter({ hasType: true })
  /** Prepared statements by name. */
  readonly #statements = new Map<string, Statement>()
  /** What the server has yet to answer, in order. */
  readonly #pending: (Statement | typeof SYNC)[] = []
  #bound: Statement = 'other'
  /** Whether the transaction under way asked for the head: other sessions commit too. */
  #isOfHead = false

  fromClient(chunk: Buffer): Frame[] {
    return this.#client.cut(chunk).map((bytes) => ({ bytes, event: this.#sent(bytes) }))
  }

  fromServer(chunk: Buffer): Frame[] {
    return this.#server.cut(chunk).map((bytes) => ({ bytes, event: this.#answered(bytes) }))
  }

  #sent(bytes: Buffer): string | undefined {
    switch (typeOf(bytes)) {
      case 'P': {
        const [name, text] = texts(bytes, 5, 2)
        this.#statements.set(name!, kindOf(text!))
        return undefined
      }
      case 'B': {
        const [, name] = texts(bytes, 5, 2)
        this.#bound = this.#statements.get(name!) ?? 'other'
        return undefined
      }
      case 'E':
        return this.#executed(this.#bound)
      case 'S':
        this.#pending.push(SYNC)
        return undefined
      case 'Q': {
        const event = this.#executed(kindOf(texts(bytes, 5, 1)[0]!))
        this.#pending.push(SYNC)
        return event
      }
      default:
        return undefined
    }
  }

  #executed(statement: Statement): string | undefined {
    this.#pending.push(statement)
    if (statement === 'lock head') this.#isOfHead = true
    return statement === 'commit' && this.#isOfHead ? POSTGRES_EVENTS.commitSent : undefined
  }

  #answered(bytes: Buffer): string | undefined {
    const type = typeOf(bytes)
    if (type === 'Z') {
      const place = this.#pending.indexOf(SYNC)
      this.#pending.splice(0, place + 1)
      return undefined
    }
    if (type !== 'C' && type !== 'I' && type !== 's') return undefined
    if (this.#pending.length === 0 || this.#pending[0] === SYNC) return undefined
    const statement = this.#pending.shift() as Statement
    if (statement === 'lock head') return POSTGRES_EVENTS.headLocked
    if (statement !== 'commit' && statement !== 'rollback') return undefined
    const wasOfHead = this.#isOfHead
    this.#isOfHead = this.#pending.includes('lock head')
    // A COMMIT of a failed transaction is answered by ROLLBACK.
    return wasOfHead && texts(bytes, 5, 1)[0] === 'COMMIT' ? POSTGRES_EVENTS.commitDone : undefined
  }
}

const typeOf = (bytes: Buffer): string => String.fromCharCode(bytes[0]!)

/** Zero-terminated texts that follow each other. */
const texts = (bytes: Buffer, start: number, count: number): string[] => {
  const found: string[] = []
  let from = start
  for (let place = 0; place < count; place += 1) {
    const end = bytes.indexOf(0, from)
    found.push(bytes.toString('utf8', from, end < 0 ? bytes.length : end))
    from = end + 1
  }
  return found
}

/** Messages are a type, a length that counts itself, and a body; the first of a client has no type. */
class MessageCutter {
  #rest: Buffer = Buffer.alloc(0)
  #hasType: boolean

  constructor({ hasType }: { hasType: boolean }) {
    this.#hasType = hasType
  }

  cut(chunk: Buffer): Buffer[] {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const messages: Buffer[] = []
    let from = 0
    for (;;) {
      const typeBytes = this.#hasType ? 1 : 0
      if (bytes.length - from < typeBytes + LENGTH_BYTES) break
      const end = from + typeBytes + bytes.readInt32BE(from + typeBytes)
      if (end > bytes.length) break
      messages.push(bytes.subarray(from, end))
      from = end
      this.#hasType = true
    }
    this.#rest = bytes.subarray(from)
    return messages
  }
}
