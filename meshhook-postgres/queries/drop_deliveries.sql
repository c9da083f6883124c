-- By deliveries_by_expiry.
SELECT meshhook.drop_deliveries_v1($1, $2) AS dropped
