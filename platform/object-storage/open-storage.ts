/** Opens the object storage that a configuration names. */
import { fileURLToPath } from 'node:url'
import type { ArchiveConfiguration } from '#platform/config/archive.ts'
import { ConfigurationError } from '#platform/errors.ts'
import { FolderStorage } from './folder-storage.ts'
import type { ObjectStorage } from './object-storage.ts'
import { S3Storage } from './s3-storage.ts'

/** Opens it; nothing is asked of it yet. @throws ConfigurationError where no archive is configured */
export const openStorage = ({ url, endpoint, region, pathStyle }: ArchiveConfiguration): ObjectStorage => {
  if (url === undefined) {
    throw new ConfigurationError('expected ARCHIVE_URL (file:///folder or s3://bucket/prefix), found nothing')
  }
  const parsed = new URL(url)
  if (parsed.protocol === 'file:') return new FolderStorage(fileURLToPath(parsed))
  const prefix = parsed.pathname.replace(/^\/+|\/+$/g, '')
  return new S3Storage({
    bucket: parsed.hostname,
    prefix: prefix === '' ? '' : `${decodeURIComponent(prefix)}/`,
    endpoint,
    region,
    pathStyle,
  })
}
