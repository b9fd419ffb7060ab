-- Positions that were set otherwise than by reading on (a partition first seen, another cluster, a command of an operator) are told
-- to the serial history: the next batch that is decided names them in its header.

-- Where reading jumped from (null: it was never read) and to; jumped_to is null as soon as a batch has told it.
alter table ingest_offsets add column jumped_from bigint, add column jumped_to bigint;
