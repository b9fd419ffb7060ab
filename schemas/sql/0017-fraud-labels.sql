-- What turned out about payments, and what a label needs to know of one. The columns are null unless a rule looked at labels.
alter table transactions
  add column payer_no bigint,
  -- Terminal or merchant: `terminal:…` or `merchant:…`.
  add column acceptor text,
  -- Whether the amount was unusual for the payer.
  add column was_unusual boolean;

-- The last label of each payment; it goes with the payment's id.
create table fraud_labels (
  key uuid primary key,
  is_fraud boolean not null,
  actor text not null,
  reason text not null,
  occurred_at timestamptz not null,
  recorded_at timestamptz not null,
  -- The record that brought it.
  topic text not null,
  partition integer not null,
  "offset" bigint not null,
  -- Sequence of the batch that decided it.
  version bigint not null
);
create index fraud_labels_version on fraud_labels (version);
