-- What the chain began with, so that a replay or a recovery can begin where the ledger did; and how far the archive is.

-- The decision time and logic version of the genesis (see platform/postgres/migrate.ts: its hash is over these); null in ledgers made before this migration.
alter table ledger_head
  add column genesis_tick_ms bigint,
  add column genesis_logic_version integer;

-- One row once an archiver has run: batches up to here, and the ingest records that they decided, are in object storage. What is
-- to be removed from Postgres or Kafka waits for it. A lower bound: the truth is the newest manifest in the storage.
create table archive_progress (
  only_one boolean primary key default true check (only_one),
  archived_through bigint not null,
  -- Number of the newest manifest, and SHA-256 of its bytes.
  manifest bigint not null,
  manifest_hash bytea not null,
  location text not null,
  updated_at timestamptz not null default now()
) with (fillfactor = 50);
