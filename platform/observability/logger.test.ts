/** Logs: one JSON object a line, child fields, levels, and rewriting on the way out. */
import { expect, test } from 'vitest'
import { createLogger } from '#platform/observability/logger.ts'

test('a line is one JSON object with level, service and the fields of its child', () => {
  const lines: string[] = []
  const logger = createLogger({ level: 'info', service: 'processor', write: (line) => lines.push(line) })
  logger.child({ partition: 3 }).info({ sequence: 7 }, 'applied')
  logger.debug('not shown')
  expect(lines).toHaveLength(1)
  const line = JSON.parse(lines[0] ?? '') as Record<string, unknown>
  expect(line).toMatchObject({
    level: 'info',
    service: 'processor',
    partition: 3,
    sequence: 7,
    msg: 'applied',
  })
  expect(line.time).toMatch(/^\d{4}-\d{2}-\d{2}T/)
})

test('the whole line passes the rewriting, wherever the text stands', () => {
  const lines: string[] = []
  const logger = createLogger({
    level: 'info',
    service: 'api',
    redactText: (line) => line.replaceAll('secret', '******'),
    write: (line) => lines.push(line),
  })
  logger.info({ nested: { field: 'secret' } }, 'a secret')
  expect(lines.join('')).not.toContain('secret')
  expect(lines.join('')).toContain('******')
})
