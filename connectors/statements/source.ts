/**
 * A statement file's text: gzip unpacked, encoding found. A byte order mark decides; else XML is what its declaration says
 * (UTF-8 without one), and the older formats, which declare little and are often wrong, are UTF-8 where all of the file is
 * valid UTF-8, else windows-1252 (which holds Latin-1).
 */
import { isUtf8 } from 'node:buffer'
import { openUnzipped } from '#connectors/unzipped-file.ts'
import { StatementError, shown } from '#domain/statements/problems.ts'

/** Small on purpose: what a collection of garbage finds alive is promoted, so that large pieces let the old space grow (200 MB of camt: 205 MB of memory with 256 KiB, 162 with 16). */
const PIECE_BYTES = 16_384
const HEAD_BYTES = 4_096

export interface SourceText {
  readonly encoding: string
  /** The text in pieces. May be read once. */
  pieces(): AsyncGenerator<string>
}

/** Opens a file as text. @throws StatementError file_unreadable, file_empty, gzip_damaged, encoding_invalid */
export async function openText(path: string): Promise<SourceText> {
  const head = await readHead(path)
  if (head.length === 0) throw new StatementError('file_empty', 'expected a statement, found an empty file')
  const encoding = await detectEncoding(path, head)
  return { encoding, pieces: () => decode(path, encoding) }
}

async function* decode(path: string, encoding: string): AsyncGenerator<string> {
  const decoder = new TextDecoder(encoding, { fatal: true })
  let line = 1
  const decodePiece = (bytes?: Uint8Array): string => {
    try {
      return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true })
    } catch {
      const badLine = line + linesBefore(bytes, encoding)
      throw new StatementError('encoding_invalid', `expected ${encoding} text throughout`, { line: badLine })
    }
  }
  for await (const bytes of bytesOf(path)) {
    const text = decodePiece(bytes)
    line += lineEnds(text)
    if (text !== '') yield text
  }
  const rest = decodePiece()
  if (rest !== '') yield rest
}

/** Line ends before the first bytes of a piece that are no text; a character that the piece before began counts as one. */
function linesBefore(bytes: Uint8Array | undefined, encoding: string): number {
  if (bytes === undefined) return 0
  const text = new TextDecoder(encoding).decode(bytes)
  // At the piece's begin stands the rest of a character of the piece before; only a later mark is the wrong one, if there is one.
  const at = text.search(/(?!^)\ufffd/)
  return at < 0 ? 0 : lineEnds(text.slice(0, at))
}

function lineEnds(text: string): number {
  let count = 0
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) count += 1
  return count
}

async function* bytesOf(path: string): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of await openUnzipped(path, PIECE_BYTES)) yield chunk as Buffer
  } catch (error) {
    throw asProblem(error)
  }
}

function asProblem(error: unknown): unknown {
  const { code, message } = error as NodeJS.ErrnoException
  if (typeof code !== 'string') return error
  if (/^(Z_|ERR_ZLIB)/.test(code))
    return new StatementError('gzip_damaged', `expected a whole gzip file: ${message}`)
  if (/^E[A-Z]+$/.test(code))
    return new StatementError('file_unreadable', `expected a readable file: ${message}`)
  return error
}

async function readHead(path: string): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of bytesOf(path)) {
    chunks.push(chunk)
    length += chunk.length
    if (length >= HEAD_BYTES) break
  }
  return Buffer.concat(chunks).subarray(0, HEAD_BYTES)
}

async function detectEncoding(path: string, head: Buffer): Promise<string> {
  const wide = wideEncoding(head)
  if (wide !== null) return wide
  if (head[0] === 0xef && head[1] === 0xbb && head[2] === 0xbf) return 'utf-8'
  const text = head.toString('latin1')
  const declaration = /^\s*<\?xml\b([^>]*)\?>/.exec(text)
  const isXml = /^\s*</.test(text) && !/<OFX[\s>]|<\?OFX\b/i.test(text)
  if (!isXml) return (await isUtf8Throughout(path)) ? 'utf-8' : 'windows-1252'
  const declared = /encoding\s*=\s*["']([^"']+)["']/.exec(declaration?.[1] ?? '')?.[1]
  return declared === undefined ? 'utf-8' : knownEncoding(declared)
}

/** UTF-16 by its mark, or by the zero bytes that its first two characters have (XML 1.0, appendix F; both are ASCII in all formats). */
function wideEncoding(head: Buffer): 'utf-16le' | 'utf-16be' | null {
  const [first, second, third, fourth] = head
  if (first === 0xff && second === 0xfe) return 'utf-16le'
  if (first === 0xfe && second === 0xff) return 'utf-16be'
  if (first !== 0 && second === 0 && third !== 0 && fourth === 0) return 'utf-16le'
  if (first === 0 && second !== 0 && third === 0 && fourth !== 0) return 'utf-16be'
  return null
}

function knownEncoding(declared: string): string {
  // What was read as single bytes can't be of two bytes a character, whatever it says.
  if (/^utf-?16|^ucs|^iso-10646/i.test(declared)) {
    throw new StatementError(
      'encoding_invalid',
      `expected ${declared} text as declared, found single bytes`,
      { line: 1 },
    )
  }
  try {
    return new TextDecoder(declared).encoding
  } catch {
    throw new StatementError('encoding_invalid', `expected a known encoding, found ${shown(declared)}`, {
      line: 1,
    })
  }
}

async function isUtf8Throughout(path: string): Promise<boolean> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of bytesOf(path)) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    const whole = wholeCharacters(bytes)
    if (!isUtf8(bytes.subarray(0, whole))) return false
    rest = bytes.subarray(whole)
  }
  return rest.length === 0
}

/** Length of `bytes` without the begin of a character that goes on in the next piece (at most three bytes). */
function wholeCharacters(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back]!
    if (byte < 0x80) return bytes.length
    if (byte >= 0xc0) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
      return length > back ? bytes.length - back : bytes.length
    }
  }
  return bytes.length
}
