/**
 * Child processes that outlive a crash of ours safely: known by pid AND start time, because a pid alone is reused and a
 * clean-up by pid alone would one day end a stranger's process.
 */
import { execFileSync, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Environment, processEnvironment } from '#platform/config/environment.ts'
import { OperatingError } from '#platform/errors.ts'

/** A process that can be recognised later. */
export interface ProcessIdentity {
  pid: number
  /** Opaque: ticks since boot on Linux, the start time's text elsewhere. Equal only for the same process. */
  startTime: string
}

/** What to run, and as whom. */
export interface ProcessPlan {
  command: string
  arguments: string[]
  /** Added to the environment of this process. */
  environment?: Environment
  /** Another user to run as; Postgres refuses to run as root. */
  userId?: number | undefined
  groupId?: number | undefined
  workingFolder: string
  logFile: string
}

/** The start time of a live process, or undefined when there is none (a zombie that nobody reaped counts as gone). */
export function startTimeOf(pid: number): string | undefined {
  return process.platform === 'linux' ? linuxStartTime(pid) : portableStartTime(pid)
}

function linuxStartTime(pid: number): string | undefined {
  let stat: string
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return undefined
  }
  // The second field is the program's name in parentheses and may itself hold spaces: count from the last parenthesis.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [state, threadsCount, startTime] = [fields[0], Number(fields[17]), fields[19]]
  // A killed Java shows as a zombie while its other threads still hold files and ports: gone means all of them.
  const gone = state === 'X' || (state === 'Z' && threadsCount <= 1)
  return gone ? undefined : startTime
}

function portableStartTime(pid: number): string | undefined {
  try {
    const line = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim()
    return line === '' || line.startsWith('Z') ? undefined : line.slice(line.indexOf(' ')).trim()
  } catch {
    return undefined
  }
}

/** The identity of a live process. Throws `process_gone` when it ended already. */
export function identify(pid: number): ProcessIdentity {
  const startTime = startTimeOf(pid)
  if (startTime === undefined) throw new OperatingError('process_gone', `Process ${pid} has ended`)
  return { pid, startTime }
}

/** True while exactly that process lives. */
export function isAlive(identity: ProcessIdentity): boolean {
  return startTimeOf(identity.pid) === identity.startTime
}

/**
 * Starts a process in a session of its own: a Ctrl-C in the terminal then reaches only us, and the services are stopped
 * in order instead of all at once.
 */
export function launch(plan: ProcessPlan): ProcessIdentity {
  const log = openSync(plan.logFile, 'a')
  try {
    const child = spawn(plan.command, plan.arguments, {
      cwd: plan.workingFolder,
      detached: true,
      stdio: ['ignore', log, log],
      env: { ...processEnvironment(), ...plan.environment },
      ...(plan.userId === undefined ? {} : { uid: plan.userId }),
      ...(plan.groupId === undefined ? {} : { gid: plan.groupId }),
    })
    // A program that isn't there arrives as an event; without a listener it would end this process.
    child.on('error', () => {})
    child.unref()
    if (child.pid === undefined) throw new OperatingError('launch_failed', `Could not start ${plan.command}`)
    return identify(child.pid)
  } finally {
    closeSync(log)
  }
}

/** Sends a signal to exactly that process; false when it was gone. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isAlive(identity)) return false
  try {
    process.kill(identity.pid, signal)
    return true
  } catch {
    return false
  }
}

/** Waits until the process is gone; false when it still lives after `timeoutMs`. */
export async function waitUntilGone(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs
  while (isAlive(identity)) {
    if (performance.now() >= deadline) return false
    await sleep(20)
  }
  return true
}

/** Asks a process to end, and after `timeoutMs` ends it. Returns once it is gone. */
export async function terminate(
  identity: ProcessIdentity,
  options: { signal: NodeJS.Signals; timeoutMs: number },
): Promise<void> {
  // A stopped (SIGSTOP) process would sit on the request for ever.
  signalProcess(identity, 'SIGCONT')
  signalProcess(identity, options.signal)
  if (await waitUntilGone(identity, options.timeoutMs)) return
  signalProcess(identity, 'SIGKILL')
  if (!(await waitUntilGone(identity, 5000))) {
    throw new OperatingError('process_stuck', `Process ${identity.pid} did not end, not even by SIGKILL`)
  }
}
