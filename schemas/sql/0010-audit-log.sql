-- Who looked at and changed what, by the API and by administrative commands: append-only, chained by hash like the batches.

create table audit_log (
  seq bigint primary key,
  -- When it happened, by the clock of whoever noted it: ISO 8601 with milliseconds, UTC, as it is hashed.
  at text not null,
  actor text not null,
  action text not null,
  subject text not null,
  -- A JSON object, as text: it is hashed as it stands.
  details text not null,
  -- SHA-256( previous hash ‖ JSON array of seq as text, at, actor, action, subject, details ); of the first one over 32 zero bytes.
  previous_hash bytea not null,
  hash bytea not null
);

-- The newest entry. Who appends locks it first; an end that was cut off shows by it.
create table audit_log_head (
  only_one boolean primary key default true check (only_one),
  seq bigint not null,
  hash bytea not null
) with (fillfactor = 50);
insert into audit_log_head (seq, hash) values (0, decode(repeat('00', 32), 'hex'));

-- Against mistakes; against intent there is the chain, and the archive, which holds entries and head.
create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% is append-only', tg_table_name using errcode = '42501';
end $$;
create trigger audit_log_append_only before update or delete or truncate on audit_log
  for each statement execute function refuse_change();
create trigger audit_log_head_stays before delete or truncate on audit_log_head
  for each statement execute function refuse_change();
