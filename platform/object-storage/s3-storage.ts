/**
 * Objects in a bucket behind the S3 API. One PutObject an object: S3 shows the old one or the whole new one, never a part.
 * Credentials and region come from where AWS tools find them (environment, profile, the pod's or instance's role).
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { PassThrough, type Readable } from 'node:stream'
import {
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3'
import { OperatingError, UnreachableError } from '#platform/errors.ts'
import { type ObjectStorage, objectMissing, type StoredObject } from './object-storage.ts'

export interface S3StorageOptions {
  readonly bucket: string
  /** Put before every key; empty, or ending in a slash. */
  readonly prefix: string
  /** Of another service than AWS; undefined = AWS. */
  readonly endpoint: string | undefined
  readonly region: string | undefined
  /** `https://host/bucket/key` instead of `https://bucket.host/key`: what most other services want. */
  readonly pathStyle: boolean
}

const REQUEST_TIMEOUT_MS = 120_000
const CONNECT_TIMEOUT_MS = 5_000
const SILENCE_MAX_MS = 30_000
const ATTEMPTS_MAX = 5
/** S3's own limit on one PutObject, bytes. */
const OBJECT_BYTES_MAX = 5 * 1024 ** 3

export class S3Storage implements ObjectStorage {
  readonly location: string
  readonly #client: S3Client
  readonly #bucket: string
  readonly #prefix: string

  constructor(options: S3StorageOptions) {
    this.#bucket = options.bucket
    this.#prefix = options.prefix
    this.location = `s3://${options.bucket}/${options.prefix}`
    this.#client = new S3Client({
      forcePathStyle: options.pathStyle,
      maxAttempts: ATTEMPTS_MAX,
      requestHandler: {
        requestTimeout: REQUEST_TIMEOUT_MS,
        connectionTimeout: CONNECT_TIMEOUT_MS,
        socketTimeout: SILENCE_MAX_MS,
      },
      ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
      // Another service than AWS has no regions, but the signature needs a name.
      ...(options.region === undefined && options.endpoint === undefined
        ? {}
        : { region: options.region ?? 'us-east-1' }),
    })
  }

  async putFile(key: string, file: string): Promise<void> {
    const { size } = await stat(file)
    if (size > OBJECT_BYTES_MAX) {
      throw new OperatingError('storage_refused', `${key}: expected at most 5 GiB, found ${size} bytes`)
    }
    const sha256 = createHash('sha256')
    for await (const part of createReadStream(file)) sha256.update(part as Buffer)
    await this.#guarded(`storing ${key}`, () =>
      this.#client.send(
        new PutObjectCommand({
          Bucket: this.#bucket,
          Key: this.#prefix + key,
          Body: createReadStream(file),
          ContentLength: size,
          ChecksumSHA256: sha256.digest('base64'),
        }),
      ),
    )
  }

  async create(key: string, content: Buffer): Promise<boolean> {
    try {
      await this.#client.send(
        new PutObjectCommand({
          Bucket: this.#bucket,
          Key: this.#prefix + key,
          Body: content,
          ContentLength: content.length,
          ChecksumSHA256: createHash('sha256').update(content).digest('base64'),
          IfNoneMatch: '*',
        }),
      )
      return true
    } catch (error) {
      if (!isTaken(error)) throw storageError(error, `storing ${key}`)
      return false
    }
  }

  async read(key: string): Promise<Readable> {
    const { Body } = await this.#guarded(`reading ${key}`, async () => {
      try {
        return await this.#client.send(
          new GetObjectCommand({ Bucket: this.#bucket, Key: this.#prefix + key }),
        )
      } catch (error) {
        if (error instanceof S3ServiceException && error.name === 'NoSuchKey') {
          throw objectMissing(this.location, key)
        }
        throw error
      }
    })
    // What breaks while the bytes come must be a coded error too, and reach whoever reads.
    const readable = new PassThrough()
    const body = Body as Readable
    body.on('error', (error) => readable.destroy(storageError(error, `reading ${key}`)))
    readable.on('close', () => body.destroy())
    return body.pipe(readable)
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    let token: string | undefined
    do {
      const page = await this.#guarded(`listing ${prefix}`, () =>
        this.#client.send(
          new ListObjectsV2Command({
            Bucket: this.#bucket,
            Prefix: this.#prefix + prefix,
            ...(token === undefined ? {} : { ContinuationToken: token }),
          }),
        ),
      )
      for (const { Key, Size } of page.Contents ?? []) {
        yield { key: Key!.slice(this.#prefix.length), bytes: Number(Size) }
      }
      token = page.NextContinuationToken
    } while (token !== undefined)
  }

  async close(): Promise<void> {
    this.#client.destroy()
  }

  async #guarded<T>(doing: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw storageError(error, doing)
    }
  }
}

/** 412 is the answer to a taken key; 409 where another conditional write of the same key is under way. */
const isTaken = (error: unknown): boolean =>
  error instanceof S3ServiceException && [409, 412].includes(error.$metadata.httpStatusCode ?? 0)

const storageError = (error: unknown, doing: string): OperatingError => {
  if (error instanceof OperatingError) return error
  const status = error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined
  const message = `${doing}: ${(error as Error).message}`
  if (status !== undefined && status >= 400 && status < 500 && status !== 429) {
    return new OperatingError('storage_refused', `${message} (${status})`, { cause: error })
  }
  return new UnreachableError('storage', message, { cause: error })
}
