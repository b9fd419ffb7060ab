/** The lock file installs everywhere: also the binaries of platforms other than the one where it was written. */
import { expect, test } from 'vitest'
import { entryOf, type Lockfile, missingPackages, readLockfile } from '#infra/local/complete-lockfile.ts'

test('every optional dependency is locked (otherwise: node infra/local/complete-lockfile.ts)', () => {
  expect(missingPackages(readLockfile())).toEqual([])
})

test('what is missing is found, also below another package', () => {
  const lock: Lockfile = {
    packages: {
      '': { optionalDependencies: { '@a/linux-x64': '1.0.0' } },
      'node_modules/tool': {
        dev: true,
        optionalDependencies: { '@a/linux-x64': '1.0.0', '@t/darwin-arm64': '2.0.0' },
      },
      'node_modules/@a/linux-x64': { version: '1.0.0' },
      'node_modules/tool/node_modules/inner': { optionalDependencies: { '@i/win32-x64-msvc': '3.0.0' } },
    },
  }
  expect(missingPackages(lock)).toEqual([
    { name: '@t/darwin-arm64', version: '2.0.0', dev: true },
    { name: '@i/win32-x64-msvc', version: '3.0.0', dev: false },
  ])
})

test('the platform of a binary package is in its name', () => {
  const entry = (name: string) => entryOf({ name, version: '1.2.3', dev: true })
  expect(entry('@a/cli-linux-x64-musl')).toEqual({
    ...{ version: '1.2.3', cpu: ['x64'], dev: true, libc: ['musl'], optional: true, os: ['linux'] },
  })
  expect(entry('@a/cli-darwin-arm64')).toMatchObject({ os: ['darwin'], cpu: ['arm64'] })
  expect(entry('@a/binding-android-arm-eabi')).toMatchObject({ os: ['android'], cpu: ['arm'] })
  expect(() => entry('@a/tool')).toThrow('@a/tool@1.2.3')
})
