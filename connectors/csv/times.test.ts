/** Times as files write them, with zones and their traps. */
import { expect, test } from 'vitest'
import { timeReader } from './times.ts'

const at = (iso: string): number => Date.parse(iso)
const read = (format: string, text: string, zone = 'UTC') => timeReader({ format, zone }, 'time')(text)

test.each<[string, string, string, number | null]>([
  ['epoch_s', 'UTC', '1522540818', 1522540818000],
  ['epoch_s', 'UTC', '1522540818.25', 1522540818250],
  ['epoch_ms', 'UTC', ' 1522540818123 ', 1522540818123],
  ['epoch_s', 'UTC', '2018-04-01', null],
  ['epoch_s', 'UTC', '9999999999999999', null],
  // Milliseconds read as seconds: the year 50217.
  ['epoch_s', 'UTC', '1522540818123', null],
  ['epoch_ms', 'UTC', '253402300799999', 253402300799999],
  ['epoch_ms', 'UTC', '253402300800000', null],
  ['iso', 'UTC', '0000-12-31', null],
  ['iso', 'UTC', '9999-12-31T23:59:59-01:00', null],
  ['iso', 'UTC', '2018-04-01', at('2018-04-01T00:00:00Z')],
  ['iso', 'UTC', '2018-04-01T12:34:56.789Z', at('2018-04-01T12:34:56.789Z')],
  ['iso', 'UTC', '2018-04-01 12:34', at('2018-04-01T12:34:00Z')],
  ['iso', 'UTC', '2018-04-01T12:34:56+02:00', at('2018-04-01T10:34:56Z')],
  ['iso', 'UTC', '2018-04-01T12:34:56-0530', at('2018-04-01T18:04:56Z')],
  ['iso', '+02:00', '2018-04-01T12:34:56', at('2018-04-01T10:34:56Z')],
  ['iso', 'UTC', '2018-02-29', null],
  ['iso', 'UTC', '2018-04-01T24:00', null],
  ['iso', 'UTC', '01.04.2018', null],
  ['dd.mm.yyyy', 'UTC', '01.04.2018', at('2018-04-01T00:00:00Z')],
  ['dd.mm.yyyy', 'UTC', '1.4.2018 7:05', at('2018-04-01T07:05:00Z')],
  ['dd.mm.yyyy', 'UTC', '31.02.2018', null],
  ['dd.mm.yyyy', 'UTC', '04/01/2018', null],
  ['mm/dd/yyyy', 'UTC', '04/01/2018 07:05:09', at('2018-04-01T07:05:09Z')],
  ['dd/mm/yy', 'UTC', '01/04/18', at('2018-04-01T00:00:00Z')],
  ['dd/mm/yy', 'UTC', '01/04/69', at('1969-04-01T00:00:00Z')],
  ['yyyymmdd', 'UTC', '20180401', at('2018-04-01T00:00:00Z')],
  ['yyyymmdd', 'UTC', '2018041', null],
  // Berlin: winter, summer, the hour that is skipped and the one that comes twice.
  ['dd.mm.yyyy', 'Europe/Berlin', '15.01.2026 12:00', at('2026-01-15T11:00:00Z')],
  ['dd.mm.yyyy', 'Europe/Berlin', '15.07.2026 12:00', at('2026-07-15T10:00:00Z')],
  ['dd.mm.yyyy', 'Europe/Berlin', '29.03.2026 02:30', at('2026-03-29T01:30:00Z')],
  ['dd.mm.yyyy', 'Europe/Berlin', '25.10.2026 02:30', at('2026-10-25T01:30:00Z')],
  ['dd.mm.yyyy', 'Asia/Kolkata', '15.01.2026 12:00', at('2026-01-15T06:30:00Z')],
  ['iso', 'Europe/Berlin', '2026-01-15T12:00:00Z', at('2026-01-15T12:00:00Z')],
])('%s in %s: %j', (format, zone, text, expected) => {
  expect(read(format, text, zone)).toBe(expected)
})

test('a format or zone that nobody knows is a configuration error that names its place', () => {
  expect(() => timeReader({ format: 'dd.mm', zone: 'UTC' }, 'occurredAt.format')).toThrow(
    /mapping occurredAt\.format: expected .* found "dd\.mm"/,
  )
  expect(() => timeReader({ format: 'iso', zone: 'Middle/Earth' }, 'x')).toThrow(/found "Middle\/Earth"/)
})
