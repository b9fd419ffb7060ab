/** What must hold, and under which number of the report a breach is counted. */

export type Category =
  | 'lost'
  | 'duplicated'
  | 'unaccounted'
  | 'fold_mismatches'
  | 'redis_mismatches'
  | 'outputs_missing'
  | 'outputs_repeated'
  | 'order_violations'
  | 'offset_regressions'
  | 'old_epoch_commits'
  | 'limits_broken'

export const RULES = {
  // What came in.
  'what the broker acknowledged is in the topic': 'lost',
  'every record has a decision or a dead letter': 'lost',
  'no record has two': 'duplicated',
  'every id took effect once at most': 'duplicated',
  'a copy has no effect': 'duplicated',
  'what can be applied is applied': 'lost',
  'nothing is decided that was not sent': 'unaccounted',
  'what is refused is refused rightly': 'unaccounted',
  'what nobody can read is a dead letter': 'unaccounted',
  'accounts are what was asked for': 'unaccounted',
  'rules are what was asked for': 'unaccounted',
  'every partition is read to its end': 'lost',
  'every partition is read without a gap': 'unaccounted',
  'positions are where the batches end': 'unaccounted',
  // The history.
  'batches follow each other': 'unaccounted',
  'batches chain by hash': 'unaccounted',
  'batches have their hash': 'unaccounted',
  'the head is the last batch': 'unaccounted',
  'offsets only go forward': 'offset_regressions',
  'every batch commits under the epoch of its partitions': 'old_epoch_commits',
  'epochs only grow': 'old_epoch_commits',
  // Money.
  'every posting is one that was sent': 'fold_mismatches',
  'every posting continues the balance before it': 'fold_mismatches',
  'balance = fold of the postings': 'fold_mismatches',
  'reserved = what is authorized and open': 'fold_mismatches',
  'no limit is broken by any transaction': 'limits_broken',
  // What went out.
  'every decision left': 'outputs_missing',
  'no decision left twice': 'outputs_repeated',
  'every decision left as Postgres has it': 'outputs_repeated',
  'every entry left': 'outputs_missing',
  'no entry left twice': 'outputs_repeated',
  'every entry left as Postgres has it': 'outputs_repeated',
  'the last balance that left = Postgres': 'outputs_missing',
  'every dead letter left': 'outputs_missing',
  'no dead letter left twice': 'outputs_repeated',
  'every alert left': 'outputs_missing',
  'no alert left twice': 'outputs_repeated',
  'every alert left as the rules say': 'outputs_repeated',
  'every notification left': 'outputs_missing',
  'no notification left twice': 'outputs_repeated',
  'every notification left as it was refused': 'outputs_repeated',
  'every batch left': 'outputs_missing',
  'no batch left twice': 'outputs_repeated',
  'every batch left as Postgres has it': 'outputs_repeated',
  'the last state of each account that left = the last change': 'outputs_missing',
  'each state of an account that left is one that it had': 'outputs_repeated',
  'states of accounts that left grow newer': 'order_violations',
  'the last state of each rule that left = the last change': 'outputs_missing',
  'each state of a rule that left is one that it had': 'outputs_repeated',
  'states of rules that left grow newer': 'order_violations',
  'outputs are in ledger order within a partition': 'order_violations',
  'balances that left grow newer': 'order_violations',
  // Redis.
  'balance keys in Redis = Postgres': 'redis_mismatches',
  'clients get the balance of Postgres': 'redis_mismatches',
  'clients get it from Redis': 'redis_mismatches',
  'no answer about a balance was older than an earlier one': 'redis_mismatches',
  // The run itself.
  'every fault met its moment': 'unaccounted',
  'the ledger goes on after every fault': 'unaccounted',
  'no process ends by itself': 'unaccounted',
  'no incident without a cause': 'unaccounted',
  'a stop ends with exit code 0': 'unaccounted',
  'a stop is done in time': 'unaccounted',
  // Side ledgers, where the world really breaks with the history.
  'an incident is reported': 'unaccounted',
  'nothing is decided after an incident': 'unaccounted',
  'no position is reset': 'offset_regressions',
  'the other partitions go on': 'unaccounted',
  'a dead owner is followed by another': 'unaccounted',
  'what was put back goes on': 'unaccounted',
} as const satisfies Record<string, Category>

export type Rule = keyof typeof RULES
