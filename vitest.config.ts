/**
 * Tests: `unit` is pure and instant, `simulation` runs the engine over simulated services, `integration` shares one real stack,
 * `faults` breaks services of its own. All run from the same command in CI.
 */
import { configDefaults, defineConfig } from 'vitest/config'

const exclude = [...configDefaults.exclude, '.tallystream/**']

export default defineConfig({
  test: {
    teardownTimeout: 60_000,
    projects: [
      {
        test: {
          name: 'unit',
          include: ['**/*.test.ts'],
          exclude: [...exclude, '**/*.it.test.ts', '**/*.faults.test.ts'],
          testTimeout: 20_000,
        },
      },
      {
        test: {
          name: 'simulation',
          include: ['tests/simulation/**/*.sim.ts'],
          exclude,
        },
      },
      {
        test: {
          name: 'integration',
          include: ['**/*.it.test.ts'],
          exclude,
          globalSetup: ['infra/local/test-stack.ts'],
          // Two cores carry broker, registry, Postgres and the engine under test; more files at once only make each slower.
          maxWorkers: 2,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'faults',
          include: ['**/*.faults.test.ts'],
          exclude,
          testTimeout: 15 * 60_000,
          hookTimeout: 15 * 60_000,
        },
      },
    ],
  },
})
