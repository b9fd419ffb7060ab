/** A file's bytes, unpacked where it is gzip: what any of the readers of files begins with. */
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'

/**
 * Opens a plain or gzip file.
 * @param pieceBytes size of the pieces that come, at most
 * @throws what the file system says; the stream fails with zlib's errors where a gzip file is damaged or cut
 */
export async function openUnzipped(path: string, pieceBytes: number): Promise<Readable> {
  const zipped = await isGzip(path)
  const file = createReadStream(path, { highWaterMark: pieceBytes })
  if (!zipped) return file
  const gunzip = createGunzip({ chunkSize: pieceBytes })
  // pipe() doesn't pass errors on.
  file.on('error', (error) => gunzip.destroy(error))
  gunzip.on('close', () => file.destroy())
  return file.pipe(gunzip)
}

/** By gzip's magic bytes (RFC 1952 §2.3.1): a file's name says nothing reliable. */
async function isGzip(path: string): Promise<boolean> {
  const file = await open(path, 'r')
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(2), 0, 2, 0)
    return bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b
  } finally {
    await file.close()
  }
}
