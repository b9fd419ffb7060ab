-- What reconciliation publishes: stretches of what its commits wrote, numbered without gaps. The rows themselves are in recon_matches and
-- recon_break_events, which are never changed, so a stretch is always the same records.
create table recon_results_head (
  only_one boolean primary key default true check (only_one),
  sequence bigint not null default 0,
  -- What has left at least.
  published bigint not null default 0
) with (fillfactor = 10);
insert into recon_results_head default values;

create table recon_results (
  sequence bigint primary key,
  pair text not null,
  version bigint not null,
  -- The first of its records among those of the version: unmatched, matched, events.
  first integer not null,
  recorded_ms bigint not null
);

create index recon_matches_by_version on recon_matches (pair, version);
create index recon_matches_by_end on recon_matches (pair, ended_version) where ended_version is not null;

-- The gravest that a break ever was.
alter table recon_breaks add column severity text not null default 'low' check (severity in ('low', 'medium', 'high'));
