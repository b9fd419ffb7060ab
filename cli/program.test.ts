/** Every command and subcommand: what its help text says, and what it makes of options that it doesn't have. */
import { readFileSync } from 'node:fs'
import { type Command, CommanderError } from 'commander'
import { expect, test } from 'vitest'
import { buildProgram } from './program.ts'

/** A command's words after the program's name. */
const pathOf = (command: Command): string[] =>
  command.parent === null ? [] : [...pathOf(command.parent), command.name()]

const all = (command: Command): Command[] => [command, ...command.commands.flatMap(all)]

function helpOf(command: Command): string {
  let text = ''
  command.configureOutput({
    writeOut: (part) => {
      text += part
    },
  })
  command.outputHelp()
  return text
}

const program = buildProgram()
const [groups, commands] = [
  all(program).filter((each) => each.commands.length > 0 && each !== program),
  // A group may do something itself, too.
  all(program).filter(
    (each) => each.commands.length === 0 || each.options.some(({ long }) => long === '--json'),
  ),
]

test('the program shows first steps', () => {
  const help = helpOf(program)
  expect(help).toMatch(/Examples:\n {2}npx tallystream demo /)
  expect(help).toMatch(/Exit codes: /)
  expect(commands.length).toBeGreaterThan(50)
})

test.each(groups.map((each) => [pathOf(each).join(' '), each]))('%s shows examples', (path, group) => {
  const help = helpOf(group as Command)
  expect(help).toMatch(new RegExp(`Examples:\\n {2}npx tallystream ${path} \\w`))
  expect(help).toMatch(/Exit codes: 0 fine, 1 .*, 2 .*, 3 /)
})

test.each(commands.map((each) => [pathOf(each).join(' '), each]))(
  '%s has an example, --json and exit codes in its help',
  (path, command) => {
    const help = helpOf(command as Command)
    expect(help).toContain(`Example:\n  npx tallystream ${path}`)
    expect(help).toContain('--json')
    expect(help).toMatch(/Exit codes: 0 fine, 1 .*, 2 .*, 3 /)
  },
)

test.each(commands.map((each) => [pathOf(each).join(' ')]))(
  '%s refuses an option that it does not have',
  async (path) => {
    const other = buildProgram()
    for (const each of all(other)) each.configureOutput({ writeErr: () => undefined })
    const parsed = other.parseAsync([...path.split(' '), '--no-such-option'], { from: 'user' })
    await expect(parsed).rejects.toThrow(CommanderError)
  },
)

test('the README has every command, and no other', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const [, rows = ''] = readme.split('\n| command')
  const named = rows
    .split('\n\n')[0]!
    .split('\n')
    .flatMap((row) => {
      // `stack up`, `down`: what stands alone behind the first belongs to its group.
      const words = [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, text]) => text!)
      const group = words[0]?.split(' ').slice(0, -1).join(' ') ?? ''
      return words.map((word) => (word.includes(' ') || group === '' ? word : `${group} ${word}`))
    })
  expect(named.toSorted()).toEqual(commands.map((command) => pathOf(command).join(' ')).toSorted())
})
