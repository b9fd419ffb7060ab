-- What fraud rules know of a card, terminal, merchant or device: one row each, written by the batch that used it.
-- Kinds are places in domain/fraud/parties.ts. Who was not used for 62 days counts as never seen: upkeep deletes those rows.
create table fraud_parties (
  kind smallint not null,
  name text not null,
  -- Day of the ledger's time (days since 1970) of its last use.
  used_day integer not null,
  -- Sequence of the batch that last changed the row.
  version bigint not null,
  -- Encoded features, see domain/fraud/features/.
  state bytea not null,
  primary key (kind, name)
) with (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.5);
-- A row's day changes once a day: all other updates stay in their page.
create index fraud_parties_used_day on fraud_parties (used_day);
