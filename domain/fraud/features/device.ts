/** What is kept of a device: how much it is used, how much was refused, and by how many accounts. */
import { type Acquaintances, meet, newAcquaintances, readAcquaintances } from './acquaintances.ts'
import { writeAcquaintances } from './acquaintances.ts'
import { ByteReader, ByteWriter } from './bytes.ts'
import { addAt, type CounterWindow, newWindow, place, readWindow, writeWindow } from './window.ts'

const DAY = { bucketMs: 3_600_000, buckets: 24, columns: 2 }
/** Columns: payments made, payments refused. */
export const MADE = 0
export const FAILED = 1

export interface DeviceState {
  readonly day: CounterWindow
  /** Accounts that paid with it. */
  readonly met: Acquaintances
}

/** Nothing known yet. */
export const newDevice = (): DeviceState => ({ day: newWindow(DAY), met: newAcquaintances() })

/** Notes a payment with the device, in place. @param account nameHash of the payer @param at event time, ms since 1970 */
export const noteUse = (
  device: DeviceState,
  { account, at, isDeclined }: { account: number; at: number; isDeclined: boolean },
): void => {
  if (at < 0) return
  const start = place(device.day, at)
  if (start >= 0) addAt(device.day, start + (isDeclined ? FAILED : MADE), 1)
  // Tries count too: one device that tries many accounts is what this is for.
  meet(device.met, at, account)
}

const ENCODING_VERSION = 1
const writer = new ByteWriter()

/** Bytes of a device: version 1; window, acquaintances. Never more than 1 KiB. */
export const encodeDevice = (device: DeviceState): Buffer => {
  writer.byte(ENCODING_VERSION)
  writeWindow(device.day, writer)
  writeAcquaintances(device.met, writer)
  return writer.finish()
}

/** @throws Error where the bytes are of another version, cut, or too long */
export const decodeDevice = (bytes: Uint8Array): DeviceState => {
  const reader = new ByteReader(bytes)
  const version = reader.byte()
  if (version !== ENCODING_VERSION) throw new Error(`device state: unknown version ${version}`)
  const device: DeviceState = { day: readWindow(DAY, reader), met: readAcquaintances(reader) }
  reader.end()
  return device
}
