/** Every connection finds its schema, and checks the server's certificate where an authority is given. */
import { expect, test } from 'vitest'
import { clientSettings } from './client-settings.ts'

const postgres = { url: 'postgres://u@h/d', sslCa: undefined, schema: 'tallystream_x' }

test('schema and settings reach the session, TLS only where it is configured', () => {
  const plain = clientSettings(postgres, { applicationName: 'a', settings: ['jit=off'] })
  expect(plain).toMatchObject({
    connectionString: postgres.url,
    application_name: 'a',
    connectionTimeoutMillis: 5000,
    options: '-c search_path=tallystream_x -c jit=off',
  })
  expect(plain).not.toHaveProperty('ssl')
  const secured = clientSettings({ ...postgres, sslCa: 'PEM' }, { applicationName: 'a' })
  expect(secured.ssl).toEqual({ ca: 'PEM' })
})
