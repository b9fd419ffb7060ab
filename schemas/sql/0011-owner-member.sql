-- Which member of the processors' consumer group took a partition: once its database session is gone without a release, the others
-- have the group go on without it at once, instead of after its session timeout.
alter table ingest_offsets add column owner_member text;
