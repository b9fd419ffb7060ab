-- Why a partition stopped, beside its position, so that people and tools can see it from any process.

-- {"code", "detail", "at"}; null while it is read, and as soon as somebody takes the partition again.
alter table ingest_offsets add column incident jsonb;
