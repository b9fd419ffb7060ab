-- What reports add up, beside the item's JSON, so that they need not take it apart.
alter table recon_items
  add column side text generated always as (item->>'side') stored,
  add column account text generated always as (item->>'account') stored,
  add column currency text generated always as (item->>'currency') stored,
  add column amount bigint generated always as ((item->>'amountMinor')::bigint) stored,
  -- Days since 1970: value date, else booking date.
  add column day integer generated always as (coalesce((item->>'valueDay')::integer, (item->>'bookingDay')::integer)) stored;
