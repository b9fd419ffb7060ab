/**
 * Runs after `npm ci` and repairs what npm's rules about install scripts may have left out (npm 10 runs them all, 11 warns,
 * 12 runs only those that package.json allows): the project's own Node, and the command's link. Plain JavaScript: the machine's
 * Node runs it, however old.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const modules = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'node_modules')
const nodePackage = join(modules, 'node')
const ownNode = join(nodePackage, 'bin', 'node')

function ownNodeVersion() {
  const result = spawnSync(ownNode, ['--version'], { encoding: 'utf8' })
  return result.status === 0 ? result.stdout.trim() : undefined
}

// Absent in a production install (`npm ci --omit=dev`), where the machine's Node must be the right one.
if (existsSync(nodePackage) && ownNodeVersion() === undefined) {
  const result = spawnSync(process.execPath, ['installArchSpecificPackage'], {
    cwd: nodePackage,
    stdio: 'inherit',
  })
  if (result.status !== 0 || ownNodeVersion() === undefined) {
    process.stderr.write(
      "The project's own Node could not be installed; see the lines above. Again: npm rebuild node\n",
    )
    process.exitCode = 1
  }
}

/** Links a command below node_modules/.bin, as npm does for what it installed completely. */
function linkCommand(name, target) {
  const link = join(modules, '.bin', name)
  mkdirSync(dirname(link), { recursive: true })
  rmSync(link, { force: true })
  symlinkSync(target, link)
}

// npm makes no link to a program that wasn't there yet; with this one npm scripts run in the project's Node.
if (existsSync(ownNode)) linkCommand('node', join('..', 'node', 'bin', 'node'))
// npm links the commands of dependencies, not the project's own; with the link npx starts it at once and offline.
linkCommand('tallystream', join('..', '..', 'cli', 'bin', 'tallystream.mjs'))
