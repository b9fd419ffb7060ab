/** What to say where a server can't listen: the address is configuration, and somebody has to choose another one. */
import { ConfigurationError } from '#platform/errors.ts'

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program (or another one of ours) listens there',
  EADDRNOTAVAIL: 'it is not an address of this machine',
  EACCES: 'this user may not listen there',
  ENOTFOUND: 'its name is not known',
}

/**
 * The error of a failed listen.
 * @param setting Names of the variables that set the address, for the message.
 */
export function listenError(
  address: { readonly host: string; readonly port: number; readonly setting: string },
  cause: unknown,
): ConfigurationError {
  const code = (cause as NodeJS.ErrnoException).code ?? ''
  const { host, port, setting } = address
  const reason = REASONS[code] ?? (cause instanceof Error ? cause.message : String(cause))
  const message = `expected ${setting} to name an address to listen on, found ${host}:${port}: ${reason}`
  return new ConfigurationError(message, { cause, code: 'address_unavailable' })
}
