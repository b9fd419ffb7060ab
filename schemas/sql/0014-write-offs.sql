-- A break may wait for the ledger: its write-off was approved and is being posted.
alter table recon_breaks drop constraint recon_breaks_status_check;
alter table recon_breaks add constraint recon_breaks_status_check
  check (status in ('open', 'proposed', 'posting', 'closed'));
