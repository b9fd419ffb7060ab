-- The review queue: in which order held transactions are looked at, how many must agree to a release, and the work on them.

alter table holds
  -- The larger, the sooner it is to be looked at (domain/fraud/priority.ts); it decides nothing. 0 for authorizations.
  add column priority integer not null default 0,
  -- How many people must release it, as the rules said when it was held.
  add column reviewers smallint not null default 1,
  -- Who has released it while another one is still needed.
  add column released_by text;
create index holds_queue on holds ((-priority), expires_at_ms, key) where status = 'active' and kind = 'review';

-- Who works on a held transaction, and notes: no part of the ledger's history, and nothing is decided by it. Append-only.
create table review_events (
  -- The transaction, and the batch that held it: an id that was forgotten may be held again.
  key uuid not null,
  sequence bigint not null,
  -- From 1 on.
  event integer not null,
  at timestamptz not null,
  actor text not null,
  kind text not null check (kind in ('assigned', 'given_back', 'noted')),
  owner text check ((kind = 'assigned') = (owner is not null)),
  note text check ((kind = 'noted') = (note is not null)),
  primary key (key, sequence, event)
);
create trigger review_events_append_only before update or delete or truncate on review_events
  for each statement execute function refuse_change();
