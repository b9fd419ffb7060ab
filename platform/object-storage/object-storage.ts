/**
 * Where archives live: objects by key, written once and whole. Two kinds: a folder (folder-storage.ts) and a bucket behind the
 * S3 API (s3-storage.ts). Keys are paths with `/` between their parts.
 */
import type { Readable } from 'node:stream'
import { OperatingError } from '#platform/errors.ts'

export interface StoredObject {
  readonly key: string
  readonly bytes: number
}

/** Every call has a time limit. @throws OperatingError `storage_unreachable` (retriable), `storage_refused` */
export interface ObjectStorage {
  /** For people: `file:///…` or `s3://bucket/prefix`; without anything secret. */
  readonly location: string
  /** Stores a local file under a key, in place of what is there; others see the old object or the whole new one. */
  putFile(key: string, file: string): Promise<void>
  /** Stores some bytes unless the key is taken; of several writers one succeeds. @returns whether it was this one */
  create(key: string, content: Buffer): Promise<boolean>
  /** An object's bytes. @throws OperatingError `object_missing` */
  read(key: string): Promise<Readable>
  /** Objects whose keys begin with a prefix, in ascending order of their keys (by code unit). */
  list(prefix: string): AsyncIterable<StoredObject>
  close(): Promise<void>
}

const BYTES_MAX = 64 * 1024 * 1024

/** A small object as a whole. @throws OperatingError `object_missing`, `object_too_large` above 64 MiB */
export const readWhole = async (storage: ObjectStorage, key: string): Promise<Buffer> => {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of (await storage.read(key)) as AsyncIterable<Buffer>) {
    bytes += part.length
    if (bytes > BYTES_MAX) {
      throw new OperatingError('object_too_large', `${key}: expected at most ${BYTES_MAX} bytes`)
    }
    parts.push(part)
  }
  return Buffer.concat(parts)
}

/** The error for a key under which nothing is stored. */
export const objectMissing = (location: string, key: string): OperatingError =>
  new OperatingError('object_missing', `${location} has no object ${key}`)
