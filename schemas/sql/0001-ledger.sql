-- The ledger of one Postgres schema (one ledger = one schema; the search path is set by the connection).
-- Append-only tables are partitioned by recorded time; mutable rows keep free space so that updates stay in their page (HOT).
-- Numbers for kinds, causes, statuses and reasons are places in domain/transactions/outcomes.ts; the views show the words.

-- The one row that every decision locks first. It is the serial history's head.
create table ledger_head (
  only_one boolean primary key default true check (only_one),
  ledger text not null,
  sequence bigint not null,
  hash bytea not null,
  tick_ms bigint not null,
  -- Ticks read but not yet applied: [{"time":…, "open":{"topic:partition": end}}], oldest first.
  pending_ticks jsonb not null default '[]',
  -- A tick whose expiries did not fit into one batch: they go on before anything else is decided.
  expiring boolean not null default false,
  logic_version integer not null,
  rules_version bigint not null default 0,
  accounts_count bigint not null default 0,
  cards_count bigint not null default 0,
  -- Raised at every restore, so that caches of another past are not believed.
  timeline bigint not null default 1,
  created_at timestamptz not null default now()
) with (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- Where each ingest partition is read up to. Advanced by compare-and-swap in the batch's transaction.
create table ingest_offsets (
  cluster_id text not null,
  topic text not null,
  partition integer not null,
  next_offset bigint not null default 0,
  epoch bigint not null default 0,
  owner text not null default '',
  owner_backend_pid integer,
  owner_backend_start timestamptz,
  -- The last applied record: its offset, SHA-256 of its bytes and its time, to notice a topic made anew and to start on another cluster.
  last_offset bigint,
  last_hash bytea,
  last_timestamp_ms bigint,
  primary key (cluster_id, topic, partition)
) with (fillfactor = 40, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

create table accounts (
  account_no bigint primary key,
  account_id text not null,
  currency smallint not null,
  account_class text not null,
  normal_side text not null check (normal_side in ('debit', 'credit')),
  status text not null check (status in ('open', 'frozen', 'closed')),
  limited boolean not null,
  overdraft_limit bigint not null,
  reversal_may_overdraw boolean not null,
  -- Credits less debits, minor units.
  posted bigint not null default 0,
  reserved bigint not null default 0 check (reserved >= 0),
  -- Sequence of the batch that last changed the row.
  version bigint not null,
  opened_sequence bigint not null,
  -- Features for fraud rules; in this row, since a payer's balance and features change together.
  profile bytea
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.5);
create unique index accounts_by_id on accounts (account_id);

create table cards (
  card_no bigint primary key,
  card text not null,
  account_no bigint not null,
  status text not null check (status in ('active', 'blocked', 'cancelled')),
  expires_at_ms bigint,
  transaction_limit bigint,
  daily_limit bigint,
  -- Debits less credits of the account by this card, minor units, and what is reserved by it.
  spent bigint not null default 0,
  reserved bigint not null default 0,
  -- What counts for the daily limit: the UTC day (days since 1970) and the sum in it.
  day integer not null default 0,
  day_amount bigint not null default 0,
  version bigint not null
) with (fillfactor = 50);
create unique index cards_by_token on cards (card);

-- Claimed ids. key and content are the first 16 bytes of SHA-256 (see domain/transactions/canonical.ts).
create table transaction_ids (
  key uuid not null,
  content uuid not null,
  sequence bigint not null,
  index integer not null,
  recorded_at timestamptz not null,
  primary key (key)
);

-- One row a decision about a transaction: the first one, and later ones (review, expiry) under the same key.
create table transactions (
  recorded_at timestamptz not null,
  sequence bigint not null,
  index integer not null,
  key uuid not null,
  id text not null,
  source text not null,
  kind smallint not null,
  cause smallint not null,
  status smallint not null,
  reason smallint,
  parent_key uuid,
  card_no bigint,
  end_to_end_id text,
  uetr text,
  occurred_at timestamptz not null,
  value_at timestamptz not null,
  topic text not null,
  partition integer not null,
  "offset" bigint not null,
  actor text not null,
  primary key (sequence, index, recorded_at)
) partition by range (recorded_at);
create table transactions_default partition of transactions default;
-- Later decisions (review, expiry) about a transaction: few.
create index transactions_later on transactions (key, sequence) where cause <> 0;
create index transactions_by_card on transactions (card_no, sequence) where card_no is not null;

-- One row a posting = two ledger entries. The balances are credits less debits after it.
create table postings (
  recorded_at timestamptz not null,
  sequence bigint not null,
  index integer not null,
  posting smallint not null,
  debit_no bigint not null,
  credit_no bigint not null,
  amount bigint not null check (amount > 0),
  currency smallint not null,
  debit_posted bigint not null,
  credit_posted bigint not null,
  value_at timestamptz not null,
  primary key (sequence, index, posting, recorded_at)
) partition by range (recorded_at);
create table postings_default partition of postings default;
create index postings_by_debit on postings (debit_no, sequence);
create index postings_by_credit on postings (credit_no, sequence);

-- Authorizations and held transactions: money reserved until it is captured, voided, reviewed or expired.
create table holds (
  key uuid primary key,
  kind text not null check (kind in ('authorization', 'review')),
  status text not null check (status in ('active', 'captured', 'voided', 'released', 'declined', 'expired', 'rejected')),
  id text not null,
  source text not null,
  sequence bigint not null,
  index integer not null,
  expires_at_ms bigint not null,
  -- [{"debit","credit","amount","remaining","currency"}], amounts as strings of minor units.
  postings jsonb not null,
  card text,
  -- The whole command (JSON, amounts as strings), so that a release can decide it again.
  command jsonb not null,
  -- Sequence of the last change, and the decision's place in that batch.
  version bigint not null,
  version_index integer not null
) with (fillfactor = 70);
create index holds_due on holds (expires_at_ms, key) where status = 'active';

-- How much of each posting was given back.
create table reversals (
  key uuid not null,
  posting smallint not null,
  reversed bigint not null,
  version bigint not null,
  primary key (key, posting)
) with (fillfactor = 70);

create table rules (
  rule_id text not null,
  version bigint not null,
  index integer not null,
  body jsonb not null,
  primary key (rule_id, version, index)
);

-- The canonical account of what happened: outbox, audit trail and what the archive keeps. Chained by hash.
create table batches (
  sequence bigint not null,
  recorded_at timestamptz not null,
  previous_hash bytea not null,
  hash bytea not null,
  format smallint not null,
  records integer not null,
  header bytea not null,
  payload bytea not null,
  primary key (sequence, recorded_at)
) partition by range (recorded_at);
create table batches_default partition of batches default;
alter table batches_default alter column payload set storage external;

create table dead_letters (
  sequence bigint not null,
  index integer not null,
  topic text not null,
  partition integer not null,
  "offset" bigint not null,
  reason text not null,
  detail text not null,
  key bytea,
  value bytea,
  value_bytes bigint not null,
  value_sha256 bytea not null,
  content_type text,
  recorded_at timestamptz not null,
  primary key (sequence, index)
);

-- What the publisher has sent, at least: a lower bound for pruning, back-pressure and the check for a lost position. The truth is in Kafka.
create table publisher_progress (
  only_one boolean primary key default true check (only_one),
  published_sequence bigint not null default 0,
  updated_at timestamptz not null default now()
) with (fillfactor = 10);

-- Raises unless exactly `expected` rows were touched: in a pipeline an UPDATE that matches nothing is no error by itself.
create function require_rows(what text, expected bigint, actual bigint) returns void language plpgsql as $$
begin
  if expected is distinct from actual then
    raise exception 'compare_and_swap_failed: % (expected %, found %)', what, expected, actual using errcode = 'TS001';
  end if;
end $$;

-- Words for the numbers.
create table codes (
  list text not null,
  code smallint not null,
  word text not null,
  primary key (list, code)
);

create view ledger_entries as
select recorded_at, sequence, index, posting * 2 as entry, debit_no as account_no, 'debit' as side, -amount as signed_amount, amount, currency, debit_posted as posted_after, credit_no as counterparty_no, value_at from postings
union all
select recorded_at, sequence, index, posting * 2 + 1, credit_no, 'credit', amount, amount, currency, credit_posted, debit_no, value_at from postings;

create view transaction_history as
select t.recorded_at, t.sequence, t.index, t.key, t.id, t.source, k.word as kind, c.word as cause, s.word as status, r.word as reason,
       t.parent_key, t.card_no, t.end_to_end_id, t.uetr, t.occurred_at, t.value_at, t.topic, t.partition, t."offset", t.actor
from transactions t
join codes k on k.list = 'kind' and k.code = t.kind
join codes c on c.list = 'cause' and c.code = t.cause
join codes s on s.list = 'status' and s.code = t.status
left join codes r on r.list = 'reason' and r.code = t.reason;

-- Who may publish and who makes ticks: one at a time, by database time. A paused holder loses it; Kafka fences what it still sends.
create table leases (
  name text primary key,
  holder text not null,
  expires_at timestamptz not null
) with (fillfactor = 50);
