-- The view shows the columns that its tables have had when it was made: anew, with first_offset.
drop view dead_letter_history;
create view dead_letter_history as
select d.sequence, d.index, d.topic, d.partition, d."offset", d.first_offset, d.reason, d.detail, d.key, d.value, d.value_bytes,
       d.value_sha256, d.content_type, d.recorded_at, c.sequence as decided_sequence, coalesce(c.status, 'open') as status,
       c.actor as decided_by, c.reason as decided_reason, c.parameters as decided_parameters, c.recorded_at as decided_at
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
