/** The compose file and the code agree: images of one version, every port on loopback only. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { composeEndpoints } from '#infra/local/compose.ts'
import { images } from '#infra/local/containers.ts'

const text = readFileSync(new URL('../compose/compose.yaml', import.meta.url), 'utf8')
const all = (pattern: RegExp) => [...text.matchAll(pattern)].map((match) => match[1])

test('compose and testcontainers run the same images', () => {
  expect(all(/^ {4}image: (\S+)$/gm).sort()).toEqual(Object.values(images).sort())
})

test('the addresses are those of the published ports, and no port is published beyond loopback', () => {
  const published = all(/ports: \["([^"]+)"\]/g)
  expect(published.every((port) => port?.startsWith('127.0.0.1:'))).toBe(true)
  const ports = published.map((port) => port?.split(':')[1]).sort()
  const inUse = Object.values(composeEndpoints).map((address) => /127\.0\.0\.1:(\d+)/.exec(address)?.[1])
  expect(ports).toEqual(inUse.sort())
})
