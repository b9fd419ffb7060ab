/** `doctor`: what this machine lacks, and the command that installs it. */
import type { Command } from 'commander'
import { addCommand } from '#cli/command.ts'
import { examineMachine, type Finding } from '#infra/local/doctor.ts'

function findingLines(each: Finding): string[] {
  const mark = each.ok ? 'ok     ' : each.required ? 'MISSING' : 'absent '
  const line = `${mark} ${each.name}: ${each.found}`
  if (each.remedy === undefined) return [line]
  const { debian, macos } = each.remedy
  return [
    line,
    ...(debian === macos
      ? [`          ${debian}`]
      : [`          Debian: ${debian}`, `          macOS:  ${macos}`]),
  ]
}

/** Registers `doctor`. */
export function registerDoctor(program: Command): void {
  addCommand(program, {
    usage: 'doctor',
    summary:
      'say what is missing on this machine, and what installs it (exit code 1 when something needed is)',
    example: 'doctor',
    run: async () => {
      const findings = await examineMachine()
      const missing = findings.filter((each) => each.required && !each.ok)
      const verdict =
        missing.length === 0 ? 'everything needed is there' : `${missing.length} needed, see MISSING`
      return {
        json: { ok: missing.length === 0, findings },
        text: [...findings.flatMap(findingLines), verdict].join('\n'),
        exitCode: missing.length === 0 ? 0 : 1,
      }
    },
  })
}
