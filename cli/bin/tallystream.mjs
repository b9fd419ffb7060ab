#!/usr/bin/env node
/**
 * The door to the command line. Plain JavaScript that an old Node can read: it checks that the packages and the right Node are
 * there, goes on in the project's own Node where the running one is older, and otherwise says in one message what to run.
 * `doctor` works before anything is installed.
 */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import module from 'node:module'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const NODE_MAJOR = 24
const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const ownNode = join(root, 'node_modules', 'node', 'bin', 'node')
const main = join(root, 'cli', 'main.ts')
/** What Node made of the sources is kept: it halves the time until a command or a processor is there. */
const compileCache = process.env.NODE_COMPILE_CACHE || join(root, '.tallystream', 'compile-cache')

const readJson = (...path) => JSON.parse(readFileSync(join(root, ...path), 'utf8'))

/** The packages that are missing or of another version than package.json wants, as after a `git pull`; null where all are there. */
function describeStale() {
  const stale = []
  for (const [name, wanted] of Object.entries(readJson('package.json').dependencies)) {
    let found = 'none'
    try {
      found = readJson('node_modules', name, 'package.json').version
    } catch {
      // Said below.
    }
    if (found !== wanted) stale.push(`${name} ${wanted} (found ${found})`)
  }
  if (stale.length === 0) return null
  const more = stale.length > 3 ? `, and ${stale.length - 3} more` : ''
  return `${stale.slice(0, 3).join(', ')}${more}`
}

function giveUp(message) {
  process.stderr.write(`tallystream: ${message}\n`)
  process.exitCode = 2
}

/**
 * Runs the same command in the project's Node; signals go through, so that Ctrl-C and `kill` mean what they should. Where this process
 * ends without a word (kill -9), the channel between the two breaks, and the command ends in order (command.ts).
 */
function runInOwnNode() {
  const env = { ...process.env, NODE_COMPILE_CACHE: compileCache }
  const child = spawn(ownNode, [main, ...process.argv.slice(2)], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env,
  })
  // A terminal sends Ctrl-C to both processes: passing it on once more would be the second, impatient one.
  process.on('SIGINT', () => {
    if (!process.stdin.isTTY) child.kill('SIGINT')
  })
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill('SIGTERM'))
  child.on('error', (error) => giveUp(`could not start ${ownNode} (${error.message}). Run: npm ci`))
  child.on('exit', (code, signal) => {
    process.exitCode = signal === null ? code : 128 + (constants.signals[signal] || 0)
  })
}

/** `doctor` before `npm ci`: it says what else `npm ci` and the local services will need. */
async function examineBare() {
  const { examineMachine, reportOf } = await import(join(root, 'infra', 'local', 'doctor.mjs'))
  const { json, text, exitCode } = reportOf(await examineMachine(process.env))
  const asJson = process.argv.includes('--json')
  process.stdout.write(`${asJson ? JSON.stringify(json, null, 2) : text}\n`)
  process.exitCode = exitCode
}

const isInstalled = existsSync(join(root, 'node_modules', 'commander'))
const stale = isInstalled ? describeStale() : null

if (!isInstalled) {
  if (process.argv[2] === 'doctor') await examineBare()
  else
    giveUp(
      `the packages are not installed. Run in ${root}: make install   (make demo does that too; make doctor says what else is missing)`,
    )
} else if (stale !== null) {
  if (process.argv[2] === 'doctor') await examineBare()
  else giveUp(`the installed packages are not those of this version: ${stale}. Run in ${root}: make install`)
} else if (Number(process.versions.node.split('.')[0]) >= NODE_MAJOR) {
  module.enableCompileCache(compileCache)
  await import(main)
} else if (existsSync(ownNode)) {
  runInOwnNode()
} else {
  giveUp(
    `expected Node ${NODE_MAJOR} or newer, got ${process.versions.node}, and the project's own is not installed. Run in ${root}: npm ci`,
  )
}
