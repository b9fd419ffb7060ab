-- Closings: what each account (and card) came to by the end of each calendar month UTC of recorded time, so that the month's
-- partitions can go: a fold is then closing + entries since. Rows in `closings` count only where `periods` has their month.

create table periods (
  period date primary key check (extract(day from period) = 1),
  format smallint not null,
  -- Batches that recorded in it; null = none. One in which time passed the end of a month belongs to both.
  first_sequence bigint,
  last_sequence bigint,
  -- The chain at its end: the last batch whose decision time lies before it.
  chain_sequence bigint not null,
  chain_hash bytea not null,
  postings bigint not null,
  accounts integer not null,
  cards integer not null,
  -- [{"currency","accounts","opening","debits","credits","closing"}], amounts as strings of minor units; closings add up to zero.
  totals jsonb not null,
  previous_hash bytea not null,
  -- See domain/ledger/closing.ts.
  hash bytea not null,
  closed_at timestamptz not null default now(),
  actor text not null,
  -- Set in the transaction that detaches its partitions: from then on what it held is in the closings alone.
  dropped_at timestamptz,
  dropped_by text
);

-- One row an account that was moved or has a balance. Balances are credits less debits, minor units.
create table closings (
  period date not null,
  account_no bigint not null,
  currency smallint not null,
  opening bigint not null,
  debits numeric not null check (debits >= 0),
  credits numeric not null check (credits >= 0),
  debit_count bigint not null,
  credit_count bigint not null,
  posted bigint not null,
  -- Sequence of the batch with its last entry up to the end.
  version bigint not null,
  -- Its entries of the period by value time, for balances at a value time: nets by day (days since 1970 UTC) of what took effect
  -- by the end of the period, and by time (ms since 1970) of what takes effect after it.
  value_days integer[] not null,
  value_nets numeric[] not null,
  later_ms bigint[] not null,
  later_nets numeric[] not null,
  primary key (period, account_no),
  check (posted = opening + credits - debits)
);

create table card_closings (
  period date not null,
  card_no bigint not null,
  debits numeric not null,
  credits numeric not null,
  -- Debits less credits of the account by this card since it was issued.
  spent numeric not null,
  primary key (period, card_no)
);

-- Where the sweep over transaction_ids stands that deletes what is forgotten (domain/ledger/horizons.ts).
create table id_sweep (
  only_one boolean primary key default true check (only_one),
  -- Ids taken before it go; null = no sweep is under way.
  taken_before timestamptz,
  next_block bigint not null default 0,
  -- What the last whole sweep deleted up to.
  swept_before timestamptz
) with (fillfactor = 10);
insert into id_sweep default values;
