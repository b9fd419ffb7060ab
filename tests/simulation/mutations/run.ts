/**
 * Plants every mutation and runs the simulation until the check that must find it has (found-by.ts):
 * `node tests/simulation/mutations/run.ts [--only name,name] [--steps N]`. Exit code 1 where one isn't found.
 */
import { parseArgs } from 'node:util'
import { MUTATIONS } from './mutations.ts'
import { tryMutation } from './plant.ts'

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    steps: { type: 'string', default: '1000000' },
    each: { type: 'string', default: '25000' },
    jobs: { type: 'string', default: '2' },
  },
})

const only = values.only.split(',').filter((name) => name !== '')
const waiting = MUTATIONS.filter(({ name }) => only.length === 0 || only.includes(name))
let missed = 0
const work = async (): Promise<void> => {
  for (let mutation = waiting.shift(); mutation !== undefined; mutation = waiting.shift()) {
    const outcome = await tryMutation(mutation, { steps: Number(values.steps), each: Number(values.each) })
    if (!outcome.isFound) missed += 1
    const verdict = outcome.isFound
      ? `seed ${outcome.seed}, step ${outcome.steps}: ${outcome.check}`
      : 'NOT FOUND'
    process.stdout.write(`${mutation.name.padEnd(42)} ${verdict}\n`)
    if (outcome.isFound) process.stdout.write(`    ${outcome.message.split('\n')[0]!.slice(0, 200)}\n`)
    for (const other of outcome.others) process.stdout.write(`    doesn't count: ${other.slice(0, 200)}\n`)
  }
}
await Promise.all(Array.from({ length: Number(values.jobs) }, work))
process.stdout.write(missed === 0 ? 'every mutation was found\n' : `${missed} mutations were not found\n`)
process.exitCode = missed === 0 ? 0 : 1
