-- Reconciliation: pairs of sources, their items, matches and breaks. Its own positions: nothing here is part of the ledger's history.

-- A pair of sources. Who works on it locks the row first and raises the version with every commit.
create table recon_pairs (
  pair text primary key,
  -- JSON, as text: as it came.
  settings text not null,
  version bigint not null default 0,
  -- The ledger's batches are read up to this one.
  ledger_sequence bigint not null default 0
) with (fillfactor = 50);

-- Where each reader (a pair; '' = the pairs themselves) goes on in its topics. Advanced in the transaction that writes what was read.
create table recon_offsets (
  reader text not null,
  cluster_id text not null,
  topic text not null,
  partition integer not null,
  next_offset bigint not null,
  primary key (reader, cluster_id, topic, partition)
) with (fillfactor = 50);

create table recon_items (
  pair text not null,
  id text not null,
  -- domain/matching/item.ts, amounts as text.
  item jsonb not null,
  version bigint not null,
  primary key (pair, id)
);

create table recon_statements (
  pair text not null,
  key text not null,
  statement jsonb not null,
  version bigint not null,
  primary key (pair, key)
);

-- Every match ever made. One that was taken back keeps its row and says in which version.
create table recon_matches (
  pair text not null,
  id text not null,
  version bigint not null,
  pass text not null,
  score integer not null,
  ledger_ids text[] not null,
  bank_ids text[] not null,
  -- Ledger less bank, minor units.
  difference bigint not null,
  because text not null,
  ended_version bigint,
  primary key (pair, id, version)
);
create unique index recon_matches_standing on recon_matches (pair, id) where ended_version is null;

-- What a break has gone through; recon_breaks is the fold of it, for looking things up.
create table recon_break_events (
  pair text not null,
  version bigint not null,
  index integer not null,
  break_id text not null,
  event jsonb not null,
  primary key (pair, version, index)
);
create index recon_break_events_by_break on recon_break_events (pair, break_id);

create table recon_breaks (
  pair text not null,
  break_id text not null,
  status text not null check (status in ('open', 'proposed', 'closed')),
  kind text not null,
  owner text,
  -- Of the item; null for breaks of statements.
  side text,
  account text,
  currency text,
  amount bigint,
  -- Days since 1970.
  day integer,
  opened_at_ms bigint not null,
  version bigint not null,
  primary key (pair, break_id)
) with (fillfactor = 70);
create index recon_breaks_open on recon_breaks (pair, kind) where status <> 'closed';

-- Commands that were carried out (refusal null) or refused.
create table recon_commands (
  pair text not null,
  id text not null,
  refusal text,
  version bigint not null,
  primary key (pair, id)
);

-- Records that are no item: by their place, so that nothing is lost.
create table recon_refused (
  pair text not null,
  topic text not null,
  partition integer not null,
  "offset" bigint not null,
  reason text not null,
  primary key (pair, topic, partition, "offset")
);
