/** `bench`: measurements as ratios to what anybody can run beside it. */
import type { Command } from 'commander'
import { BulkClient } from '#cli/bulk-client.ts'
import { addCommand } from '#cli/command.ts'
import { applyTopics } from '#cli/commands/topics.ts'
import { wholeOf } from '#cli/options.ts'
import { LOGIC_VERSION } from '#domain/ledger/state.ts'
import { measureThroughput } from '#loadtest/bench/throughput.ts'
import { migrateLedger } from '#platform/postgres/migrate.ts'

interface Options {
  transfers: string
  accounts: string
  tpcbSeconds: string
}

/** Registers `bench` and its scenarios. */
export function registerBench(program: Command): void {
  const bench = program.command('bench').description('measurements, as ratios')
  addCommand<Options>(bench, {
    usage: 'throughput',
    summary: 'preloaded transfers, everything on, beside pgbench TPC-B on the same Postgres',
    example: 'bench throughput --transfers 500000 --accounts 10000',
    configure: (command) =>
      command
        .option('--transfers <n>', 'transfers to apply', '500000')
        .option('--accounts <n>', 'accounts they are spread over', '10000')
        .option('--tpcb-seconds <n>', 'how long TPC-B runs before and after', '10'),
    run: async (context, options) => {
      const bounds = (min: number) => ({ min, max: 10_000_000 })
      const transfers = wholeOf(options.transfers, '--transfers', bounds(1))
      const accounts = wholeOf(options.accounts, '--accounts', bounds(2))
      const tpcbSeconds = wholeOf(options.tpcbSeconds, '--tpcb-seconds', { min: 1, max: 600 })
      const client = new BulkClient(context)
      const { configuration } = client
      await migrateLedger(configuration.postgres, {
        ledger: configuration.ledger.name,
        nowMs: Date.now(),
        logicVersion: LOGIC_VERSION,
      })
      await applyTopics(configuration, 1)
      const result = await measureThroughput({
        configuration,
        pool: client.pool,
        publisher: await client.publisher(),
        transfers,
        accounts,
        tpcbSeconds,
        progress: context.progress,
        signal: context.signal,
      })
      const rounded = (rate: number) => Math.round(rate).toLocaleString('en')
      return {
        json: result,
        text: [
          `applied   ${rounded(result.appliedPerSecond)} transfers/s`,
          `published ${rounded(result.publishedPerSecond)} transfers/s`,
          `TPC-B     ${rounded(result.tpcbPerSecond)} transactions/s (pgbench, 8 clients, same Postgres)`,
          `ratio     ${result.ratio.toFixed(2)}`,
        ].join('\n'),
      }
    },
  })
}
