-- Kafka clusters that the ledger has read: which brokers a configured name stands for, and in which order they took turns.

create table kafka_clusters (
  cluster_id text primary key,
  -- What the brokers call themselves; null until they were asked. Two names for the same brokers would be two positions in one log.
  kafka_id text unique,
  -- The cluster with the highest turn is the one that is read.
  turn bigint not null unique,
  -- Whether a record that was applied on the cluster before was found in this one: without, nothing of it is believed.
  known boolean not null default false,
  -- What was published at least when its turn began: those outputs are on the clusters before it.
  published_before bigint not null default 0,
  entered_at timestamptz not null default now()
);
insert into kafka_clusters (cluster_id, turn, known)
select cluster_id, row_number() over (order by max(last_timestamp_ms) nulls first, cluster_id), true
from ingest_offsets group by cluster_id;

-- The cluster's turn in which the position was taken over: an older one was left for another cluster meanwhile.
alter table ingest_offsets add column turn bigint not null default 0;
update ingest_offsets o set turn = c.turn from kafka_clusters c where c.cluster_id = o.cluster_id;
