/** The genesis' hash is part of every chain: it may never change. */
import { expect, test } from 'vitest'
import { genesisHash } from './genesis.ts'

test('is what chains began with from the start, and depends on each part', () => {
  const genesis = { ledger: 'main', tickMs: 1_700_000_000_000, logicVersion: 1 }
  expect(genesisHash(genesis).toString('hex')).toBe(
    '7d8e116ec1692a3545821e366e54001030e021648eb2f0eeba14f1d7cc78858c',
  )
  expect(genesisHash({ ...genesis, ledger: 'other' })).not.toEqual(genesisHash(genesis))
  expect(genesisHash({ ...genesis, tickMs: 1_700_000_000_001 })).not.toEqual(genesisHash(genesis))
  expect(genesisHash({ ...genesis, logicVersion: 2 })).not.toEqual(genesisHash(genesis))
})
