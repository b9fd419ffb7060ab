/** Whether a number written in decimal is still the same number once a double holds it. */

/** Digits and decimal exponent of a JSON number, without zeros that say nothing. */
function significant(text: string): string {
  const match = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text)
  if (match === null) return 'none'
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match
  const digits = `${whole}${fraction}`.replace(/^0+/, '')
  const trimmed = digits.replace(/0+$/, '')
  if (trimmed === '') return '0'
  // Exponents of more digits than these are out of a double's range anyway.
  const power =
    BigInt(exponent.slice(0, 12)) - BigInt(fraction.length) + BigInt(digits.length - trimmed.length)
  return `${sign}${trimmed}e${power}`
}

/** Whether the double that a JSON number is read as prints as the same decimal. */
export const isExact = (source: string, value: number): boolean =>
  Number.isFinite(value) && significant(source) === significant(String(value))
