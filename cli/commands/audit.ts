/** `audit`: proofs of what is stored, one subcommand a file in audit/. */
import type { Command } from 'commander'
import { addAuditReplay } from '#cli/commands/audit/replay.ts'
import { addAuditLog } from '#cli/commands/audit/log.ts'
import { addAuditOutputs } from '#cli/commands/audit/outputs.ts'
import { addAuditTrace } from '#cli/commands/audit/trace.ts'
import { addAuditVerify } from '#cli/commands/audit/verify.ts'

/** Registers `audit` and its subcommands. */
export function registerAudit(program: Command): void {
  const audit = program.command('audit').description('prove what is stored, and say what differs')
  addAuditReplay(audit)
  addAuditOutputs(audit)
  addAuditTrace(audit)
  addAuditVerify(audit)
  addAuditLog(audit)
}
