/** What a check throws: something that must never happen has happened. */
export class Violation extends Error {
  readonly check: string
  constructor(check: string, message: string) {
    super(`${check}: ${message}`)
    this.check = check
  }
}

export const must = (condition: boolean, check: string, message: () => string): void => {
  if (!condition) throw new Violation(check, message())
}
