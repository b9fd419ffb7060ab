-- A dead letter may stand for a stretch of the log: a batch that can only be read as a whole, or offsets passed over by decision.

-- The stretch's first offset; "offset" is its last. Null where the letter is about one record.
alter table dead_letters add column first_offset bigint;
