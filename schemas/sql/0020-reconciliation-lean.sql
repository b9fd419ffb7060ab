-- What reconciliation writes a million times is written as it is, and found by as few indexes as will do.

-- Plain columns, and JSON as it came: taking it apart cost more than all the rest of a row.
alter table recon_items
  alter column side drop expression,
  alter column account drop expression,
  alter column currency drop expression,
  alter column amount drop expression,
  alter column day drop expression;
alter table recon_items alter column item type json using item::json;
alter table recon_items
  alter column side set not null,
  alter column account set not null,
  alter column currency set not null,
  alter column amount set not null;

-- What its bank side says, for whoever reads the results: the items need not be asked.
alter table recon_matches add column account text, add column currency text, add column amount bigint;
update recon_matches m set (account, currency, amount) =
  (select min(i.account), min(i.currency), sum(i.amount) from recon_items i where i.pair = m.pair and i.id = any(m.bank_ids));
alter table recon_matches
  alter column account set not null,
  alter column currency set not null,
  alter column amount set not null;

-- By version, since that is how they are written and published; by item: nearly all have one on each side, the others are found by a
-- smaller index.
drop index recon_matches_by_ledger, recon_matches_by_bank, recon_matches_by_version;
alter table recon_matches drop constraint recon_matches_pkey, add primary key (pair, version, id);
create index recon_matches_by_ledger on recon_matches (pair, (ledger_ids[1]));
create index recon_matches_by_bank on recon_matches (pair, (bank_ids[1]));
create index recon_matches_of_several on recon_matches using gin ((ledger_ids || bank_ids))
  where cardinality(ledger_ids) + cardinality(bank_ids) > 2;
