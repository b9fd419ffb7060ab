/**
 * Administrative commands over the real tables. After each step another processor takes over with nothing in memory, so that
 * ids and the status of dead letters come from the tables.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CommandInput, LedgerInput, UnreadableInput } from '#domain/ledger/inputs.ts'
import { administrative } from '#domain/ledger/testing/memory-ledger.ts'
import type { AdministrativeCommand } from '#domain/transactions/command.ts'
import { testConfiguration } from '#infra/local/test-names.ts'
import { LedgerFixture, outputsOf } from '../testing/ledger-fixture.ts'

let ledger: LedgerFixture
beforeAll(async () => {
  ledger = await LedgerFixture.create(testConfiguration('commands'))
})
afterAll(() => ledger.close())

const step = async (...inputs: LedgerInput[]): Promise<string[]> => {
  const driver = await ledger.openDriver()
  const [result] = await driver.apply(ledger.log(inputs))
  await driver.session.release([...driver.claims.values()])
  await driver.session.close()
  return result!.effects.commands.map(({ outcome, refusal }) => refusal ?? outcome)
}

const unreadable = (): UnreadableInput => ({
  type: 'dead',
  topic: 'transactions',
  partition: 1,
  offset: 0n,
  letter: {
    reason: 'json_invalid',
    detail: 'expected one JSON value',
    key: null,
    value: Buffer.from('{'),
    valueBytes: 1,
    valueSha256: Buffer.alloc(32),
    contentType: null,
  },
})
const about = (offset: number, changes: Partial<AdministrativeCommand>): CommandInput =>
  administrative({ subject: `transactions:1:${offset}`, ...changes })
const retried = (id: string, offset: number): CommandInput =>
  about(offset, {
    id,
    kind: 'dead_letter.retried',
    parameters: { topic: 'transactions', partition: '0', offset: '77' },
  })

const letters = () =>
  ledger.rows<{ offset: bigint; status: string; decided_by: string | null; decided_reason: string | null }>(
    `select "offset", status, decided_by, decided_reason from dead_letter_history order by sequence, index`,
  )

describe('commands in the tables', () => {
  it('decide about dead letters of earlier batches, once for their id', async () => {
    await step(unreadable(), unreadable(), unreadable())
    const command = about(0, { id: 'd0', reason: 'noise', actor: 'olga' })
    expect(await step(command)).toEqual(['applied'])
    expect(await step(command)).toEqual(['duplicate'])
    expect(await step(about(0, { id: 'd0', reason: 'something else' }))).toEqual(['id_conflict'])
    expect(await step(about(0, { id: 'd0b' }))).toEqual(['dead_letter_closed'])
    expect(await step(retried('r1', 1), about(9, { id: 'd9' }))).toEqual(['applied', 'dead_letter_unknown'])
    expect(await letters()).toEqual([
      { offset: 0n, status: 'discarded', decided_by: 'olga', decided_reason: 'noise' },
      { offset: 1n, status: 'retried', decided_by: 'operator', decided_reason: null },
      { offset: 2n, status: 'open', decided_by: null, decided_reason: null },
    ])
  })

  it('that come in the batch of their letter find it too', async () => {
    expect(await step(unreadable(), about(3, { id: 'd3' }))).toEqual(['applied'])
    expect((await letters()).at(-1)).toMatchObject({ offset: 3n, status: 'discarded' })
  })

  it('are kept as rows, and as notifications in the batch record', async () => {
    const rows = await ledger.rows<{ id: string; outcome: string; refusal: string | null; claims: boolean }>(
      'select id, outcome, refusal, claims from commands order by sequence, index',
    )
    expect(rows).toEqual([
      { id: 'd0', outcome: 'applied', refusal: null, claims: true },
      { id: 'd0', outcome: 'duplicate', refusal: null, claims: false },
      { id: 'd0', outcome: 'rejected', refusal: 'id_conflict', claims: false },
      { id: 'd0b', outcome: 'rejected', refusal: 'dead_letter_closed', claims: true },
      { id: 'r1', outcome: 'applied', refusal: null, claims: true },
      { id: 'd9', outcome: 'rejected', refusal: 'dead_letter_unknown', claims: true },
      { id: 'd3', outcome: 'applied', refusal: null, claims: true },
    ])
    const batches = await ledger.batches()
    const outputs = await Promise.all(
      batches.map((batch) =>
        outputsOf<{ kind: string; reason: string; command: { id: string; parameters: object } }>(
          batch,
          'notifications',
        ),
      ),
    )
    const said = outputs.flat()
    expect(said.map(({ value }) => [value.command.id, value.kind, value.reason])).toEqual(
      rows.map(({ id, outcome, refusal }) => [id, `command_${outcome}`, refusal ?? '']),
    )
    expect(said[4]).toMatchObject({
      key: 'transactions:1:1',
      value: { command: { parameters: { topic: 'transactions', partition: '0', offset: '77' } } },
    })
  })
})
