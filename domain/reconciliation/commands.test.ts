/** What people ask: which texts can be stored. */
import { describe, expect, it } from 'vitest'
import { isStorable, parseBreakCommand } from './commands.ts'

describe('isStorable', () => {
  it('takes any well-formed text, at any depth', () => {
    expect(isStorable({ a: ['Grüße 😀', { b: null, c: 1n, d: '\\u0000' }] })).toBe(true)
  })

  it.each(['\u0000', 'x\ud800', '\udc00y'])('refuses %j, in values and in keys', (text) => {
    expect(isStorable({ a: [{ b: text }] })).toBe(false)
    expect(isStorable({ a: { [text]: 1 } })).toBe(false)
  })

  it('a command with such a text is none', () => {
    expect(parseBreakCommand('note', '{"text":"a\\u0000"}', 'ann')).toBeNull()
    expect(parseBreakCommand('note', '{"text":"a"}', 'ann')).toEqual({
      type: 'note',
      text: 'a',
      actor: 'ann',
    })
  })
})
