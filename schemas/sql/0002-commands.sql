-- What became of the records of the topic `commands`, one row each. What they are about refers to it: the status of a dead
-- letter is what the last applied command about it says.
create table commands (
  sequence bigint not null,
  index integer not null,
  id text not null,
  -- The first 16 bytes of SHA-256 over kind, subject, parameters and reason (see domain/ledger/commands.ts).
  content uuid not null,
  -- Whether this row took the id: the first decision about it.
  claims boolean not null,
  kind text not null,
  subject text not null,
  parameters jsonb not null,
  actor text not null,
  reason text,
  outcome text not null check (outcome in ('applied', 'rejected', 'duplicate')),
  -- Why it was rejected: a reason code.
  refusal text,
  topic text not null,
  partition integer not null,
  "offset" bigint not null,
  occurred_at timestamptz not null,
  recorded_at timestamptz not null,
  primary key (sequence, index)
);
create unique index commands_by_id on commands (id) where claims;
create index commands_by_subject on commands (subject, sequence, index);

create index dead_letters_by_position on dead_letters (topic, partition, "offset", sequence, index);

-- Dead letters with what was decided about them. A command is about the newest letter that its position had by then: only on
-- another cluster may a position come twice.
create view dead_letter_history as
select d.*, c.sequence as decided_sequence, coalesce(c.status, 'open') as status, c.actor as decided_by, c.reason as decided_reason,
       c.parameters as decided_parameters, c.recorded_at as decided_at
from dead_letters d
left join lateral (
  select c.sequence, c.actor, c.reason, c.parameters, c.recorded_at,
         case c.kind when 'dead_letter.discard' then 'discarded' else 'retried' end as status
  from commands c
  where c.subject = d.topic || ':' || d.partition || ':' || d."offset" and c.outcome = 'applied'
    and c.kind in ('dead_letter.discard', 'dead_letter.retried')
    and (c.sequence, c.index) > (d.sequence, d.index)
    and not exists (
      select from dead_letters n
      where n.topic = d.topic and n.partition = d.partition and n."offset" = d."offset"
        and (n.sequence, n.index) > (d.sequence, d.index) and (n.sequence, n.index) < (c.sequence, c.index))
  order by c.sequence desc, c.index desc limit 1) as c on true;
