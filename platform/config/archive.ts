/** Configuration of the archive: where it is, and when a segment is closed. */
import type { ConfigurationReader } from '#platform/config/reader.ts'

export interface ArchiveConfiguration {
  /** `file:///folder` or `s3://bucket/prefix`; undefined = there is no archive. */
  url: string | undefined
  /** Of an S3 API that isn't AWS. */
  endpoint: string | undefined
  region: string | undefined
  /** Whether buckets stand in the path instead of the host's name. */
  pathStyle: boolean
  /** A segment is closed once its batch records have so many bytes (unpacked) … */
  segmentBytesMax: number
  /** … or its oldest batch has waited so long. */
  segmentSecondsMax: number
}

/** Reads the keys ARCHIVE_*. */
export function readArchive(reader: ConfigurationReader): ArchiveConfiguration {
  const url = reader.optional('ARCHIVE_URL')
  if (url !== undefined && !isArchiveUrl(url)) {
    reader.complain('ARCHIVE_URL', 'file:///folder or s3://bucket/prefix', 'something else')
  }
  const endpoint = reader.optional('ARCHIVE_S3_ENDPOINT')
  return {
    url,
    endpoint:
      endpoint === undefined
        ? undefined
        : reader.url('ARCHIVE_S3_ENDPOINT', { schemes: ['http', 'https'], fallback: undefined }),
    region: reader.optional('ARCHIVE_S3_REGION') ?? reader.optional('AWS_REGION'),
    pathStyle: reader.boolean('ARCHIVE_S3_PATH_STYLE', endpoint !== undefined),
    segmentBytesMax: reader.integer('ARCHIVE_SEGMENT_BYTES_MAX', {
      fallback: 64 * 1024 * 1024,
      min: 1024,
      max: 1024 ** 3,
    }),
    segmentSecondsMax: reader.integer('ARCHIVE_SEGMENT_SECONDS_MAX', { fallback: 300, min: 1, max: 86_400 }),
  }
}

function isArchiveUrl(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, hostname, pathname, search, username } = new URL(text)
  if (search !== '' || username !== '') return false
  return (
    (protocol === 'file:' && hostname === '' && pathname.length > 1) ||
    (protocol === 's3:' && hostname !== '')
  )
}
