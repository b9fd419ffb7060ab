/** MT940 messages for tests, made up. */

/**
 * Statement `number` (1 to 9) of one account, of that day of March 2026.
 * @param fields 61 and 86, whole lines
 */
export const mt940OfDay = (number: number, opening: string, closing: string, ...fields: string[]): string =>
  [
    ':20:X',
    ':25:DE02120300000000202051',
    `:28C:${number}/1`,
    `:60F:C26030${number}EUR${opening}`,
    ...fields,
    `:62F:C26030${number}EUR${closing}`,
    '-',
    '',
  ].join('\r\n')
