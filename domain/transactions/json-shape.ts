/**
 * What a JSON text looks like before and after it is parsed. A name that comes twice in an object is read differently by different
 * programs (RFC 8259, section 4): who checks the first amount and who books the last one would mean two payments.
 */

export interface JsonShape {
  /** Nesting of braces and brackets. */
  readonly depth: number
  /** Members of all objects, names that come twice counted twice. */
  readonly members: number
}

/** Of a text, whether it is JSON or not; only in JSON does it say what it seems to. */
export const jsonShape = (json: string): JsonShape => {
  let depth = 0
  let deepest = 0
  let members = 0
  let inString = false
  for (let at = 0; at < json.length; at += 1) {
    const code = json.charCodeAt(at)
    if (inString) {
      if (code === 0x5c) at += 1
      else if (code === 0x22) inString = false
    } else if (code === 0x22) inString = true
    // Outside of strings a colon stands behind a name, and nowhere else.
    else if (code === 0x3a) members += 1
    else if (code === 0x7b || code === 0x5b) {
      depth += 1
      if (depth > deepest) deepest = depth
    } else if (code === 0x7d || code === 0x5d) depth -= 1
  }
  return { depth: deepest, members }
}

/** Members of all objects of a parsed value: fewer than its text has where a name came twice. */
export const membersOf = (value: unknown): number => {
  if (typeof value !== 'object' || value === null) return 0
  const items = Array.isArray(value) ? value : Object.values(value)
  let members = Array.isArray(value) ? 0 : items.length
  for (const item of items) members += membersOf(item)
  return members
}
