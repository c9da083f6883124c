-- By rates_by_expiry.
SELECT meshhook.drop_rates_v1($1, $2) AS dropped
