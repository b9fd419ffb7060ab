-- Which matches an item has ever been part of: what people look up first.
create index recon_matches_by_ledger on recon_matches using gin (ledger_ids);
create index recon_matches_by_bank on recon_matches using gin (bank_ids);
