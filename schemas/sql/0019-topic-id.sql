-- A topic that was deleted and made anew bears the same name. Where no applied record tells which one is read, the id does that it had
-- when the partition was first read: 32 hexadecimal digits; null where nobody knew it (brokers before Kafka 3.1), and after its position
-- was moved, until somebody takes the partition.
alter table ingest_offsets add column topic_id text;
